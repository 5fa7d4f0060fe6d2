// SPDX-License-Identifier: Apache-2.0
// The published E2B SDK against a stand-alone casemate-agent (E2B_DEBUG: no control plane, the agent on port 49983).
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { FileNotFoundError, NotFoundError, Sandbox, TimeoutError } from 'e2b'

const url = 'http://127.0.0.1:49983'
let agent, sandbox, dir

// Until the agent answers: it does as soon as it listens.
async function ready() {
  for (let i = 0; i < 200; i++) {
    assert.equal(agent.exitCode, null, 'the agent has ended: is port 49983 in use?')
    if (await fetch(`${url}/health`).then((r) => r.status === 204, () => false)) return
    await new Promise((done) => setTimeout(done, 25))
  }
  assert.fail('the agent does not answer')
}

before(async () => {
  agent = spawn(process.env.AGENT, ['--listen', '127.0.0.1:49983'], { stdio: 'inherit' })
  await ready()
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'casemate-api-')))
  // Login shells read a profile that is nobody's: this machine's own may do anything.
  const init = { method: 'POST', body: JSON.stringify({ envVars: { HOME: dir } }) }
  assert.equal((await fetch(`${url}/init`, init)).status, 204)
  sandbox = await Sandbox.create({ debug: true })
})

after(() => {
  agent.kill('SIGTERM')
  rmSync(dir, { recursive: true, force: true })
})

test('a command: output, exit status, environment, directory', async () => {
  const r = await sandbox.commands.run('echo "$A $PWD"; echo oops >&2', { envs: { A: 'b' }, cwd: dir })
  assert.deepEqual([r.stdout, r.stderr, r.exitCode], [`b ${dir}\n`, 'oops\n', 0])
  await assert.rejects(sandbox.commands.run('exit 3'), (e) => e.exitCode === 3)
})

test('a command that is too slow is killed', { timeout: 20000 }, async () => {
  await assert.rejects(sandbox.commands.run('exec -a too-slow sleep 1000', { timeoutMs: 300 }), TimeoutError)
  // The answer may overtake the end of the process. (The test's own limit ends this.)
  while ((await sandbox.commands.list()).some((p) => p.args.join(' ').includes('too-slow')));
})

test('in the background: input, list, connect, kill', async () => {
  const cmd = await sandbox.commands.run('cat', { background: true, stdin: true })
  assert.ok((await sandbox.commands.list()).some((p) => p.pid === cmd.pid))
  let heard
  const echoed = new Promise((done) => (heard = done))
  const other = await sandbox.commands.connect(cmd.pid, { onStdout: heard })
  await sandbox.commands.sendStdin(cmd.pid, 'hello\n')
  assert.equal(await echoed, 'hello\n')
  assert.equal(await sandbox.commands.kill(cmd.pid), true)
  await assert.rejects(other.wait(), (e) => /killed/.test(e.error))
  assert.equal(await sandbox.commands.kill(cmd.pid), false)
})

test('much output arrives whole', async () => {
  const r = await sandbox.commands.run('head -c 3000000 /dev/zero | tr "\\0" x')
  assert.equal(r.stdout.length, 3000000)
})

test('a terminal: its size, and a new one', async () => {
  let text = '', more = () => {}
  const decoder = new TextDecoder()
  const pty = await sandbox.pty.create({ cols: 80, rows: 24, onData: (d) => { text += decoder.decode(d); more() } })
  const seen = (re) => new Promise((done) => (more = () => re.test(text) && done()) && more())
  const type = (s) => sandbox.pty.sendInput(pty.pid, new TextEncoder().encode(s))
  await type('stty size\n')
  await seen(/24 80/)
  await sandbox.pty.resize(pty.pid, { cols: 100, rows: 30 })
  await type('stty size\n')
  await seen(/30 100/)
  await type('exit\n')
  await pty.wait()
})

test('files: write, read, info, list, rename, remove', async () => {
  const path = join(dir, 'new/dir/a.txt')
  const info = await sandbox.files.write(path, 'hello')
  assert.deepEqual([info.path, info.name, info.type], [path, 'a.txt', 'file'])
  assert.equal(await sandbox.files.read(path), 'hello')
  assert.equal((await sandbox.files.getInfo(path)).size, 5)
  assert.deepEqual((await sandbox.files.list(join(dir, 'new'))).map((e) => e.name), ['dir'])
  await sandbox.files.rename(path, join(dir, 'b.txt'))
  assert.equal(await sandbox.files.exists(path), false)
  await sandbox.files.remove(join(dir, 'new'))
  await assert.rejects(sandbox.files.read(path), (e) => e instanceof FileNotFoundError || e instanceof NotFoundError)
})

test('files: many at once, gzip, metadata, octets, empty', async () => {
  const files = [1, 2, 3].map((i) => ({ path: join(dir, `m${i}`), data: `file ${i}` }))
  assert.equal((await sandbox.files.writeFiles(files, { gzip: true })).length, 3)
  assert.equal(await sandbox.files.read(files[1].path), 'file 2')
  const info = await sandbox.files.write(join(dir, 'meta'), 'x', { metadata: { author: 'me' } })
  assert.deepEqual(info.metadata, { author: 'me' })
  assert.deepEqual((await sandbox.files.getInfo(join(dir, 'meta'))).metadata, { author: 'me' })
  await sandbox.files.write(join(dir, 'empty'), '')
  assert.equal(await sandbox.files.read(join(dir, 'empty')), '')
  const big = new Uint8Array(5000000).map((_, i) => i * 7)
  await sandbox.files.write(join(dir, 'big'), new Blob([big]))
  assert.deepEqual(await sandbox.files.read(join(dir, 'big'), { format: 'bytes' }), big)
})

test('a directory is watched, and what appears in it', async () => {
  const events = []
  let more = () => {}
  const handle = await sandbox.files.watchDir(dir, (e) => { events.push(`${e.type} ${e.name}`); more() }, { recursive: true })
  const seen = (text) => new Promise((done) => (more = () => events.includes(text) && done()) && more())
  await sandbox.files.makeDir(join(dir, 'w'))
  await sandbox.files.write(join(dir, 'w/f'), 'x')
  await seen('write w/f')
  assert.ok(events.includes('create w'))
  await handle.stop()
})

// Last: from here on the token is needed.
test('without the token nothing but health', async () => {
  const init = (body, headers = {}) => fetch(`${url}/init`, { method: 'POST', body: JSON.stringify(body), headers })
  assert.equal((await init({ accessToken: 'secret' })).status, 204)
  assert.equal((await init({ accessToken: 'other' })).status, 401)
  assert.equal((await fetch(`${url}/metrics`)).status, 401)
  assert.equal((await fetch(`${url}/metrics`, { headers: { 'X-Access-Token': 'secret' } })).status, 200)
  await assert.rejects(sandbox.commands.run('true'), /unauthorized|401|authenticat/i)
  assert.equal((await fetch(`${url}/health`)).status, 204)
})
