#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The published E2B SDK for Python against a stand-alone casemate-agent, as agent.test.mjs is the one for JavaScript. TAP."""
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from e2b import CommandExitException, NotFoundException, Sandbox, TimeoutException

URL = "http://127.0.0.1:49983"
CASES = []


def case(name):
    return lambda fn: CASES.append((name, fn))


def ask(path, body=None, headers=None):
    """The status of one request."""
    request = urllib.request.Request(URL + path, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def raises(kind, fn):
    try:
        fn()
    except kind as e:
        return e
    raise AssertionError(f"no {kind.__name__}")


@case("a command: output, exit status, environment, directory")
def _(sandbox, where):
    r = sandbox.commands.run('echo "$A $PWD"; echo oops >&2', envs={"A": "b"}, cwd=where)
    assert (r.stdout, r.stderr, r.exit_code) == (f"b {where}\n", "oops\n", 0), r
    assert raises(CommandExitException, lambda: sandbox.commands.run("exit 3")).exit_code == 3


@case("a command that is too slow is killed")
def _(sandbox, where):
    raises(TimeoutException, lambda: sandbox.commands.run("exec -a too-slow sleep 1000", timeout=0.3))
    until = time.monotonic() + 20
    while any("too-slow" in " ".join(p.args) for p in sandbox.commands.list()):
        assert time.monotonic() < until


@case("in the background: input, list, connect, kill")
def _(sandbox, where):
    cmd = sandbox.commands.run("cat", background=True, stdin=True)
    assert any(p.pid == cmd.pid for p in sandbox.commands.list())
    other = sandbox.commands.connect(cmd.pid)
    sandbox.commands.send_stdin(cmd.pid, "hello\n")
    for out, _err, _pty in other:
        assert out == "hello\n", out
        break
    assert sandbox.commands.kill(cmd.pid) is True
    raises(CommandExitException, cmd.wait)
    assert sandbox.commands.kill(cmd.pid) is False


@case("much output arrives whole")
def _(sandbox, where):
    assert len(sandbox.commands.run('head -c 3000000 /dev/zero | tr "\\0" x').stdout) == 3000000


@case("files: write, read, info, list, rename, remove")
def _(sandbox, where):
    path = f"{where}/new/dir/a.txt"
    info = sandbox.files.write(path, "hello")
    assert (info.path, info.name) == (path, "a.txt"), info
    assert sandbox.files.read(path) == "hello"
    assert sandbox.files.get_info(path).size == 5
    assert [e.name for e in sandbox.files.list(f"{where}/new")] == ["dir"]
    sandbox.files.rename(path, f"{where}/b.txt")
    assert sandbox.files.exists(path) is False
    sandbox.files.remove(f"{where}/new")
    raises(NotFoundException, lambda: sandbox.files.read(path))


@case("files: many at once, octets, empty")
def _(sandbox, where):
    files = [{"path": f"{where}/m{i}", "data": f"file {i}"} for i in (1, 2, 3)]
    assert len(sandbox.files.write_files(files)) == 3
    assert sandbox.files.read(f"{where}/m2") == "file 2"
    sandbox.files.write(f"{where}/empty", "")
    assert sandbox.files.read(f"{where}/empty") == ""
    big = bytes(i * 7 % 256 for i in range(5000000))
    sandbox.files.write(f"{where}/big", big)
    assert bytes(sandbox.files.read(f"{where}/big", format="bytes")) == big


@case("a directory is watched")
def _(sandbox, where):
    handle = sandbox.files.watch_dir(where, recursive=True)
    sandbox.files.make_dir(f"{where}/w")
    sandbox.files.write(f"{where}/w/f", "x")
    seen, until = [], time.monotonic() + 20
    while not any(e.name == "w/f" for e in seen):
        assert time.monotonic() < until, seen
        seen += handle.get_new_events()
    handle.stop()


@case("ten at a time")
def _(sandbox, where):
    got = [None] * 10

    def run(i):
        got[i] = sandbox.commands.run(f"echo {i}").stdout

    threads = [threading.Thread(target=run, args=(i,)) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [f"{i}\n" for i in range(10)], got


# Last: from here on the token is needed.
@case("without the token nothing but health")
def _(sandbox, where):
    assert ask("/init", json.dumps({"accessToken": "secret"}).encode()) == 204
    raises(Exception, lambda: sandbox.commands.run("true"))
    assert ask("/health") == 204
    assert ask("/metrics") == 401
    assert ask("/metrics", headers={"X-Access-Token": "secret"}) == 200


def ready(agent):
    for _ in range(400):
        assert agent.poll() is None, "the agent has ended: is port 49983 in use?"
        try:
            if ask("/health") == 204:
                return
        except OSError:
            time.sleep(0.025)
    raise AssertionError("the agent does not answer")


def main():
    agent = subprocess.Popen([os.environ["AGENT"], "--listen", "127.0.0.1:49983"])
    failed = 0
    try:
        ready(agent)
        with tempfile.TemporaryDirectory(prefix="casemate-api-") as where:
            where = os.path.realpath(where)
            # Login shells read a profile that is nobody's: this machine's own may do anything.
            assert ask("/init", json.dumps({"envVars": {"HOME": where}}).encode()) == 204
            sandbox = Sandbox.create(debug=True)
            for i, (name, fn) in enumerate(CASES, 1):
                try:
                    fn(sandbox, where)
                    print(f"ok {i} - python: {name}", flush=True)
                except Exception as e:  # each case for itself
                    failed += 1
                    print(f"not ok {i} - python: {name}\n  # {type(e).__name__}: {e}", flush=True)
    finally:
        agent.terminate()
        agent.wait()
    print(f"1..{len(CASES)}", flush=True)
    sys.exit(failed > 0)


main()
