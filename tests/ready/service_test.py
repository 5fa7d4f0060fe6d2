# SPDX-License-Identifier: Apache-2.0
"""The code interpreter's service with its real kernels, on loopback. Needs python3-ipykernel, matplotlib, pandas and node."""
import asyncio
import contextlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
SERVICE = os.path.join(HERE, "../../images/ready/code-interpreter/files/usr/lib/casemate/code-interpreter/service.py")
WARM_S = 120


class Agent(BaseHTTPRequestHandler):
    """What the sandbox's agent answers on its port inside the guest."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"GLOBAL": "it\'s \\"set\\"\\n"}')

    def log_message(self, *_):
        pass


class Warming(unittest.TestCase):
    """It isn't warm before all kernels are there: one that fails is started again."""

    def test_tries_again(self):
        sys.path.insert(0, os.path.dirname(SERVICE))
        sys.dont_write_bytecode = True
        import context
        context.AGAIN_S = 0
        tries = []

        class Flaky(context.Contexts):
            async def create(self, language, cwd=None):
                tries.append((language, self.warm.is_set()))
                if len(tries) == 1:
                    raise RuntimeError("Kernel didn't respond in 300 seconds")
                made = types.SimpleNamespace(id=language, language=language)
                self.known[language] = made
                return made

        async def warm_up():
            contexts = Flaky("/", "")
            await contexts.warm_up(["python", "javascript"])
            return contexts.warm.is_set()

        with contextlib.redirect_stderr(io.StringIO()) as told:
            self.assertTrue(asyncio.run(warm_up()))
        self.assertEqual(tries, [("python", False), ("python", False), ("javascript", False)])
        self.assertIn("didn't respond", told.getvalue())


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.agent = HTTPServer(("127.0.0.1", 0), Agent)
        threading.Thread(target=cls.agent.serve_forever, daemon=True).start()
        cls.cwd = tempfile.mkdtemp(prefix="casemate-interpreter.")
        cls.process = subprocess.Popen(
            [sys.executable, SERVICE, "--port", "0", "--cwd", cls.cwd, "--agent", f"http://127.0.0.1:{cls.agent.server_port}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "TMPDIR": cls.cwd, "PYTHONDONTWRITEBYTECODE": "1"})
        cls.port = int(cls.process.stdout.readline())
        end = time.monotonic() + WARM_S
        while cls.ask("GET", "/health")[0] != 200:
            assert time.monotonic() < end, "not warm in time"
            time.sleep(0.2)

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait(20)
        cls.process.stdout.close()
        cls.agent.shutdown()
        cls.agent.server_close()
        left = [name for name in os.listdir(cls.cwd) if name.startswith("kernel-")]
        shutil.rmtree(cls.cwd)
        assert not left, left

    @classmethod
    def ask(cls, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", cls.port, timeout=WARM_S)
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def run_code(self, code, **members):
        status, data = self.ask("POST", "/execute", {"code": code, **members})
        self.assertEqual(status, 200, data)
        items = [json.loads(text, parse_constant=self.fail) for text in data.splitlines()]
        self.assertEqual(items[-1], {"type": "end_of_execution"})
        return [item for item in items[:-1] if item["type"] != "keepalive"]

    def only(self, kind, items):
        found = [item for item in items if item["type"] == kind]
        self.assertEqual(len(found), 1, items)
        return found[0]

    def test_python(self):
        items = self.run_code("import sys; print('out'); print('err', file=sys.stderr); x = 41; x + 1")
        self.assertEqual(self.only("stdout", items)["text"], "out\n")
        self.assertEqual(self.only("stderr", items)["text"], "err\n")
        self.assertEqual((self.only("result", items)["text"], self.only("result", items)["is_main_result"]), ("42", True))
        self.assertEqual(self.only("result", self.run_code("x"))["text"], "41")
        items = self.run_code("import os; os.getcwd()")
        self.assertEqual(self.only("result", items)["text"], self.cwd)

    def test_python_error(self):
        error = self.only("error", self.run_code("1/0"))
        self.assertEqual((error["name"], error["value"]), ("ZeroDivisionError", "division by zero"))
        self.assertIn("----> 1 1/0", error["traceback"])
        self.assertNotIn("\x1b", error["traceback"])

    def test_rich_results(self):
        code = "import matplotlib.pyplot as plt\nplt.plot([1, float('nan')])\nplt.show()\nimport pandas\npandas.DataFrame({'a': [1, float('nan')]})"
        figure, frame = [i for i in self.run_code(code) if i["type"] == "result"]
        self.assertEqual((figure["chart"]["type"], figure["chart"]["elements"][0]["points"]), ("line", [[0, 1.0], [1, None]]))
        self.assertTrue(figure["png"].startswith("iVBOR"))
        self.assertEqual(frame["data"], {"a": [1.0, None]})
        self.assertIn("<table", frame["html"])
        self.assertEqual(self.only("result", self.run_code("{'a': [1]}"))["json"], {"a": [1]})

    def test_javascript(self):
        items = self.run_code("import { sep as s } from 'path'\nconst o = { a: await Promise.resolve(1) }; console.log(s); o", language="js")
        self.assertEqual(self.only("stdout", items)["text"], "/\n")
        self.assertEqual((self.only("result", items)["text"], self.only("result", items)["json"]), ("{ a: 1 }", {"a": 1}))
        self.assertEqual(self.only("result", self.run_code("'te' + `xt${o.a}`", language="javascript"))["text"], "text1")
        self.assertEqual(self.only("error", self.run_code("throw new TypeError('no')", language="js"))["name"], "TypeError")
        self.assertEqual(self.only("error", self.run_code("o.", language="js"))["name"], "SyntaxError")
        self.assertEqual(self.only("error", self.run_code("process.exit(1)", language="js"))["name"], "Exit")
        self.assertEqual(self.only("result", self.run_code("1 + 1", language="js"))["text"], "2")

    @unittest.skipUnless(shutil.which("esbuild"), "esbuild isn't installed")
    def test_typescript(self):
        items = self.run_code("const text: string = 'typed'; console.log(text)", language="ts")
        self.assertEqual(self.only("stdout", items)["text"], "typed\n")

    def test_environment(self):
        for language, ask in (("python", "import os; print(os.environ.get('%s', 'none'))"),
                              ("javascript", "console.log(process.env.%s ?? 'none')")):
            with self.subTest(language=language):
                def variable(name, language=language, ask=ask, **envs):
                    return self.only("stdout", self.run_code(ask % name, language=language, env_vars=envs))["text"]
                self.assertEqual(variable("GLOBAL"), "it's \"set\"\n\n")
                self.assertEqual(variable("GLOBAL", GLOBAL="');evil('"), "');evil('\n")
                self.assertEqual(variable("GLOBAL"), "it's \"set\"\n\n")
                self.assertEqual(variable("MINE", MINE="\U0001f600"), "\U0001f600\n")
                self.assertEqual(variable("MINE"), "none\n")

    def test_contexts(self):
        status, data = self.ask("POST", "/contexts", {"cwd": "/nowhere"})
        self.assertEqual((status, data), (400, b"cwd: No such file or directory"))
        status, data = self.ask("POST", "/contexts", {"cwd": "/tmp"})
        context = json.loads(data)
        self.assertEqual((status, context["language"], context["cwd"]), (200, "python", "/tmp"))
        listed = json.loads(self.ask("GET", "/contexts")[1])
        self.assertEqual(listed[-1], context)
        self.assertLessEqual({"python", "javascript"}, {c["language"] for c in listed})
        self.run_code("alone = 1", context_id=context["id"])
        self.assertEqual(self.only("error", self.run_code("alone"))["name"], "NameError")
        self.assertEqual(self.ask("POST", f"/contexts/{context['id']}/restart")[0], 200)
        self.assertEqual(self.only("error", self.run_code("alone", context_id=context["id"]))["name"], "NameError")
        self.assertEqual(self.ask("DELETE", f"/contexts/{context['id']}")[0], 200)
        self.assertEqual(self.ask("DELETE", f"/contexts/{context['id']}")[0], 404)
        self.assertEqual(self.ask("POST", "/execute", {"code": "1", "context_id": context["id"]}),
                         (404, f"Context {context['id']} not found".encode()))

    def test_refusals(self):
        for body in (b"{", [], {}, {"code": 1}, {"code": "1", "language": "cobol"},
                     {"code": "1", "language": "python", "context_id": "x"}, {"code": "1", "env_vars": []}):
            self.assertEqual(self.ask("POST", "/execute", body)[0], 400, body)

    def test_a_client_that_leaves(self):
        """Its code is interrupted, so the next one's runs."""
        for language, code in (("python", "import time; print('go'); time.sleep(300)"),
                               ("javascript", "console.log('go'); for (;;) {}"),
                               ("javascript", "console.log('go'); await new Promise(() => {})")):
            with self.subTest(code=code):
                body = json.dumps({"code": code, "language": language}).encode()
                with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
                    client.sendall(b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    data = b""
                    while b"go" not in data:
                        data += client.recv(4096)
                began = time.monotonic()
                self.assertEqual(self.only("result", self.run_code("1 + 1", language=language))["text"], "2")
                self.assertLess(time.monotonic() - began, 60)

    def test_a_kernel_that_dies(self):
        self.assertEqual(self.only("error", self.run_code("import os; os._exit(1)"))["name"], "UnexpectedEndOfExecution")
        self.assertEqual(self.only("result", self.run_code("1 + 1"))["text"], "2")


if __name__ == "__main__":
    unittest.main()
