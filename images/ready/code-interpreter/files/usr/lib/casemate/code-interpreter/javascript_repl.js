// SPDX-License-Identifier: Apache-2.0
// javascript_repl.js FD [typescript] - runs cells for javascript_kernel.py: requests as JSON lines on standard input, answers on FD.
// The evaluation is that of Node.js's own REPL, which knows await outside of functions and keeps declarations.
'use strict'
const { spawnSync } = require('child_process')
const fs = require('fs')
const { PassThrough, Writable } = require('stream')
const readline = require('readline')
const repl = require('repl')
const util = require('util')

const answers = Number(process.argv[2])
const typescript = process.argv[3] === 'typescript'

function answer(item) {
  let data = Buffer.from(JSON.stringify(item) + '\n')
  while (data.length > 0) data = data.subarray(fs.writeSync(answers, data))
}

// What is printed takes the way of the answers, so that both come in order.
for (const name of ['stdout', 'stderr']) {
  process[name].write = (chunk, encoding, done) => {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    answer({ type: name, text })
    const callback = typeof encoding === 'function' ? encoding : done
    if (callback) process.nextTick(callback)
    return true
  }
}

let finish = null // of the execution under way
let evaluating = false // it has the processor

function uncaught(reason) {
  process.stderr.write(`Uncaught ${util.inspect(reason)}\n`)
}

const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
const server = repl.start({ prompt: '', input: new PassThrough(), output: nowhere, terminal: false, useGlobal: true, breakEvalOnSigint: true })
server.removeAllListeners('SIGINT')
// What a cell throws comes here, and what its timers throw later.
server._domain.removeAllListeners('error')
server._domain.on('error', (reason) => (evaluating ? finish({ reason }) : uncaught(reason)))

// `import` statements at a line's start, as the REPL takes them: not at all.
const IMPORT = /^[ \t]*import\s+(?:([\w$*{][^'"`;()]*?)\s+from\s+)?(['"])([^'"\n]+)\2[ \t]*;?/gm

function importAsAwait(_all, clause, _quote, from) {
  const module = `await import(${JSON.stringify(from)})`
  if (!clause) return `${module};`
  const parts = []
  const named = /\{([^}]*)\}/.exec(clause)
  const rest = clause.replace(/\{[^}]*\}/, '').split(',').map((s) => s.trim()).filter(Boolean)
  let all = null
  for (const word of rest) {
    const star = /^\*\s+as\s+([\w$]+)$/.exec(word)
    if (star) all = star[1]
    else parts.push(`default: ${word}`)
  }
  if (named) parts.push(...named[1].split(',').map((s) => s.trim().replace(/\s+as\s+/, ': ')).filter(Boolean))
  const first = all ? `var ${all} = ${module}; ` : ''
  if (parts.length === 0) return first
  return `${first}var { ${parts.join(', ')} } = ${all || module};`
}

function toJavaScript(code) {
  if (typescript) {
    const flags = ['--loader=ts', '--target=node18', '--log-level=error', '--tsconfig-raw={"compilerOptions":{"preserveValueImports":true}}']
    const run = spawnSync('esbuild', flags, { input: code, encoding: 'utf8', maxBuffer: 1 << 28 })
    if (run.error) throw run.error
    if (run.status !== 0) throw new SyntaxError(run.stderr.trim())
    code = run.stdout
  }
  return code.replace(IMPORT, importAsAwait)
}

function failure(error) {
  if (error instanceof repl.Recoverable) error = error.err
  const known = error !== null && typeof error === 'object' && 'message' in error
  return {
    type: 'error',
    name: known ? String(error.name || 'Error') : typeof error,
    value: known ? String(error.message) : util.inspect(error),
    traceback: known && error.stack ? String(error.stack).split('\n').filter((l) => !/node:|javascript_repl/.test(l)).join('\n') : '',
  }
}

function representation(value) {
  const data = { 'text/plain': util.inspect(value, { depth: 4, maxArrayLength: 200, breakLength: 100 }) }
  if (value !== null && typeof value === 'object' && [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value))) {
    try {
      data['application/json'] = JSON.parse(JSON.stringify(value))
    } catch {} // a cycle, or what JSON has no form for
  }
  return data
}


function run(code) {
  return new Promise((resolve) => {
    finish = (error, value) => {
      finish = null
      if (error) answer(failure(error.reason))
      else if (value !== undefined) answer({ type: 'result', data: representation(value) })
      resolve()
    }
    const mine = finish
    const end = (error, value) => finish === mine && mine(error, value)
    let javascript
    try {
      javascript = toJavaScript(code)
    } catch (reason) {
      return end({ reason })
    }
    evaluating = true
    server.eval(javascript + '\n', server.context, 'cell', (reason, value) => {
      if (reason) end({ reason })
      else if (util.types.isPromise(value)) value.then((v) => end(null, v), (r) => end({ reason: r }))
      else end(null, value)
    })
    evaluating = false
  })
}

// While code runs, the REPL's own handler ends it; while it awaits something, this one does.
process.on('SIGINT', () => finish && finish({ reason: new Error('The execution was interrupted') }))
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, uncaught)
}

let queue = Promise.resolve()
readline.createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', (text) => {
  const { code } = JSON.parse(text)
  queue = queue.then(() => run(code)).then(() => answer({ type: 'done' }))
}).on('close', () => process.exit(0))
