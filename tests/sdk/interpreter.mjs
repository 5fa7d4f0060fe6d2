// SPDX-License-Identifier: Apache-2.0
// The published @e2b/code-interpreter (npm ci beside this file) against a casemated that has a template code-interpreter-v1
// (images/ready/README.md). By hand, as versions.mjs. TAP; the exit status says whether all passed.
//
//     E2B_API_URL=http://127.0.0.1:3900 E2B_SANDBOX_URL=$E2B_API_URL E2B_API_KEY=e2b_... node interpreter.mjs
import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'

const slow = { requestTimeoutMs: 300_000, timeoutMs: 300_000 } // an emulated host
let sandbox
const run = (code, options) => sandbox.runCode(code, { ...slow, ...options })

const steps = {
  async 'a sandbox answers at once, from where its template was frozen'() {
    sandbox = await Sandbox.create({ ...slow, timeoutMs: 1800_000, envs: { GLOBAL: 'set' } })
    const began = performance.now()
    const r = await run('print("hello"); 6 * 7')
    console.log(`# the first answer took ${Math.round(performance.now() - began)} ms`)
    assert.deepEqual([r.logs.stdout, r.text, r.error], [['hello\n'], '42', undefined])
  },
  async 'state, standard error, streams'() {
    const heard = []
    await run('x = 5')
    const r = await run('import sys\nprint(x, file=sys.stderr)\nx', { onStderr: (m) => heard.push(m.line) })
    assert.deepEqual([r.text, heard.join('')], ['5', '5\n'])
  },
  async 'variables of the sandbox and of an execution'() {
    const code = 'import os; print(os.environ.get("GLOBAL"), os.environ.get("OWN"))'
    assert.deepEqual((await run(code, { envs: { OWN: 'a' } })).logs.stdout, ['set a\n'])
    assert.deepEqual((await run(code)).logs.stdout, ['set None\n'])
  },
  async 'a chart is a picture, and data'() {
    const r = await run('import matplotlib.pyplot as plt\nplt.bar(["a", "b"], [1, 2])\nplt.show()')
    assert.equal(Buffer.from(r.results[0].png, 'base64').subarray(1, 4).toString(), 'PNG')
    assert.equal(r.results[0].chart.type, 'bar')
    assert.deepEqual(r.results[0].chart.elements.map((e) => e.value), [1, 2])
  },
  async 'a data frame'() {
    const r = await run('import pandas as pd; pd.DataFrame({"a": [1, 2]})')
    assert.deepEqual(r.results[0].data, { a: [1, 2] })
    assert.match(r.results[0].html, /<table/)
  },
  async 'an error has its traceback'() {
    const { error } = await run('1 / 0')
    assert.deepEqual([error.name, error.value], ['ZeroDivisionError', 'division by zero'])
    assert.match(error.traceback, /1 \/ 0/)
  },
  async 'JavaScript'() {
    const r = await run('console.log(await Promise.resolve(1)); [1, 2].map((x) => x * 2)', { language: 'js' })
    assert.deepEqual([r.logs.stdout, r.text], [['1\n'], '[ 2, 4 ]'])
  },
  async 'a context of its own'() {
    const context = await sandbox.createCodeContext({ cwd: '/tmp', ...slow })
    assert.equal((await run('import os; os.getcwd()', { context })).text, '/tmp')
    assert.equal((await run('x', { context })).error.name, 'NameError')
    assert.ok((await sandbox.listCodeContexts()).some((c) => c.id === context.id))
    await sandbox.removeCodeContext(context.id)
    assert.ok(!(await sandbox.listCodeContexts()).some((c) => c.id === context.id))
  },
  async 'another sandbox of the template knows nothing of this one'() {
    const mine = sandbox
    sandbox = await Sandbox.create({ ...slow, timeoutMs: 600_000 })
    try {
      assert.equal((await run('x')).error.name, 'NameError')
    } finally {
      await sandbox.kill(slow)
      sandbox = mine
    }
  },
}

let n = 0
console.log(`1..${Object.keys(steps).length}`)
for (const [name, step] of Object.entries(steps)) {
  n++
  try {
    await step()
    console.log(`ok ${n} ${name}`)
  } catch (e) {
    process.exitCode = 1
    console.log(`not ok ${n} ${name}\n${String(e.stack).replace(/^/gm, '# ')}`)
  }
}
await sandbox?.kill(slow).catch(() => {})
