// SPDX-License-Identifier: Apache-2.0
// Published versions of the E2B SDK against a casemated (npm ci beside this file): create, a command, files, a background
// command, list, kill.
//
//     E2B_API_URL=http://127.0.0.1:3900 E2B_SANDBOX_URL=$E2B_API_URL E2B_API_KEY=e2b_... node versions.mjs [VERSION...]
//
// A sandbox needs a Linux: where this machine's KVM boots none, forward the socket of a casemated in the lab. One line a version;
// the exit status says whether all passed.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url)))
const all = Object.keys(manifest.dependencies).filter((name) => name.startsWith('e2b-')).map((name) => name.replace('e2b-', ''))
const wanted = process.argv.length > 2 ? process.argv.slice(2) : all

const steps = {
  async create(s) {
    s.sandbox = await s.Sandbox.create({ timeoutMs: 120_000, metadata: { version: s.version }, envs: { COLOUR: 'red' } })
    assert.match(s.sandbox.sandboxId, /^i[a-z0-9]{19}/)
  },
  async commands(s) {
    const r = await s.sandbox.commands.run('echo "$COLOUR $A"; echo oops >&2; whoami', { envs: { A: 'b' } })
    assert.deepEqual([r.stdout, r.stderr, r.exitCode], ['red b\nuser\n', 'oops\n', 0])
    await assert.rejects(s.sandbox.commands.run('exit 3'), (e) => e.exitCode === 3)
  },
  async background(s) {
    const c = await s.sandbox.commands.run('cat', { background: true, stdin: true })
    let heard
    const echoed = new Promise((done) => (heard = done))
    await s.sandbox.commands.connect(c.pid, { onStdout: heard })
    await s.sandbox.commands.sendStdin(c.pid, 'hello\n')
    assert.equal(await echoed, 'hello\n')
    assert.equal(await s.sandbox.commands.kill(c.pid), true)
  },
  async files(s) {
    const bytes = new Uint8Array(300_000).map((_, i) => i * 31)
    await s.sandbox.files.write('a/text', 'grüße')
    await s.sandbox.files.write('a/bytes', bytes.buffer)
    assert.equal(await s.sandbox.files.read('a/text'), 'grüße')
    assert.deepEqual(new Uint8Array(await s.sandbox.files.read('a/bytes', { format: 'bytes' })), bytes)
    assert.deepEqual((await s.sandbox.files.list('a')).map((e) => e.name).sort(), ['bytes', 'text'])
    await s.sandbox.files.rename('a/text', 'a/moved')
    assert.equal(await s.sandbox.files.exists('a/text'), false)
    await s.sandbox.files.remove('a')
    assert.equal(await s.sandbox.files.exists('a'), false)
  },
  async list(s) {
    const found = s.Sandbox.list({ query: { metadata: { version: s.version } } })
    const items = await found.nextItems()
    assert.ok(items.some((i) => i.sandboxId === s.sandbox.sandboxId))
    await s.sandbox.setTimeout(60_000)
    assert.equal(await s.sandbox.isRunning(), true)
    const again = await s.Sandbox.connect(s.sandbox.sandboxId)
    assert.equal((await again.commands.run('true')).exitCode, 0)
  },
  async kill(s) {
    await s.sandbox.kill() // older ones answer nothing
    assert.equal(await s.Sandbox.kill(s.sandbox.sandboxId), false)
  },
}

let failed = 0
for (const version of wanted) {
  const s = { version, Sandbox: (await import(`e2b-${version}`)).Sandbox }
  const results = []
  for (const [name, step] of Object.entries(steps)) {
    try {
      if (!s.sandbox && name !== 'create') continue
      await step(s)
      results.push(`${name} ok`)
    } catch (e) {
      failed++
      results.push(`${name} FAILED (${e.message.split('\n')[0]})`)
    }
  }
  if (s.sandbox) await s.Sandbox.kill(s.sandbox.sandboxId).catch(() => {})
  console.log(`${version}: ${results.join(', ')}`)
}
process.exitCode = failed === 0 ? 0 : 1
