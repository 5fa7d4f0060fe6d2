// SPDX-License-Identifier: Apache-2.0
// The rows of `./dev bench api`, by the published E2B SDK: bench_api has started casemated and set the SDK's variables.
import { Sandbox } from 'e2b'

const where = process.env.BENCH_WHERE
const key = { 'X-API-Key': process.env.E2B_API_KEY }
const now = () => performance.now()

// One line in the form that docs/BENCHMARKS.md promises. Of a rate p99 is what 99 of 100 samples reach.
function print(name, unit, samples, rate = false) {
  const s = [...samples].sort((a, b) => a - b)
  const rank = (p) => Number(s[Math.max(0, Math.ceil(s.length * p / 100) - 1)].toPrecision(6))
  console.log(JSON.stringify({ bench: 'api', name, unit, p50: rank(50), p99: rank(rate ? 1 : 99), n: s.length,
    peer: null, peer_p50: null, peer_p99: null, ratio: null, where }))
}

async function timed(list, fn) {
  const begin = now(), result = await fn()
  list.push(now() - begin)
  return result
}

// The pool refills behind those who take from it: each row begins with a full one.
async function settle() {
  const full = async () => {
    const text = await (await fetch(`${process.env.E2B_API_URL}/v2/sandboxes`, { headers: key })).json()
    return text.length === 0
  }
  while (!(await full())) await new Promise((done) => setTimeout(done, 20))
  await new Promise((done) => setTimeout(done, 2000))
}

async function cycles(parallel, count, quiet = false) {
  const all = [], create = [], run = [], kill = []
  let left = count
  const worker = async () => {
    while (left-- > 0) await timed(all, async () => {
      const sandbox = await timed(create, () => Sandbox.create('base', { timeoutMs: 600000 }))
      await timed(run, () => sandbox.commands.run('true'))
      await timed(kill, () => sandbox.kill())
    })
  }
  const begin = now()
  await Promise.all(Array.from({ length: parallel }, worker))
  const seconds = (now() - begin) / 1000
  if (quiet) return
  print(`cycle_p${parallel}`, 'ms', all)
  print(`cycle_p${parallel}_create`, 'ms', create)
  print(`cycle_p${parallel}_run`, 'ms', run)
  print(`cycle_p${parallel}_kill`, 'ms', kill)
  print(`cycles_p${parallel}`, '1/s', [count / seconds], true)
}

async function single() {
  const exec = [], health = []
  const sandbox = await Sandbox.create('base', { timeoutMs: 600000 })
  for (let i = 0; i < 300; i++) await timed(exec, () => sandbox.commands.run('true'))
  const fields = { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '49983' }
  for (let i = 0; i < 300; i++)
    await timed(health, async () => (await fetch(`${process.env.E2B_API_URL}/health`, { headers: fields })).arrayBuffer())
  print('exec', 'ms', exec)
  print('proxy_health', 'ms', health)
  await sandbox.kill()
}

await cycles(1, 20, true) // Node.js compiles as it goes
for (const [parallel, count] of [[1, 100], [20, 200], [50, 300]]) {
  await settle()
  await cycles(parallel, count)
}
await settle()
await single()
