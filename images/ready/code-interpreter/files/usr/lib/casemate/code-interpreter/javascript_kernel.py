# SPDX-License-Identifier: Apache-2.0
"""The JavaScript kernel: Jupyter's protocol by ipykernel, the language by Node.js (javascript_repl.js).

Requests go to Node.js as JSON lines on its standard input, answers come on descriptor 3. What the code prints comes there
too, in order; what programs that it starts print comes by the standard outputs.
"""
import json
import os
import selectors
import signal
import subprocess
import sys

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

HERE = os.path.dirname(os.path.abspath(__file__))
READ_SIZE = 1 << 16


class Ended(Exception):
    """Node.js is no more."""


class Node:
    def __init__(self, typescript):
        self.buffer = b""
        answers, end = os.pipe()
        os.set_inheritable(end, True)
        command = ["node", os.path.join(HERE, "javascript_repl.js"), str(end)] + (["typescript"] if typescript else [])
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, pass_fds=[end])
        os.close(end)
        self.answers = answers
        self.selector = selectors.DefaultSelector()
        self.selector.register(answers, selectors.EVENT_READ, "answers")
        self.selector.register(self.process.stdout.fileno(), selectors.EVENT_READ, "stdout")
        self.selector.register(self.process.stderr.fileno(), selectors.EVENT_READ, "stderr")

    def run(self, code):
        """Yields what comes of it, the last being of type "done"."""
        try:
            self.process.stdin.write(json.dumps({"code": code}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise Ended from error
        while True:
            # The standard outputs first: what a program printed comes before the answer that it has ended.
            ready = sorted(self.selector.select(), key=lambda r: r[0].data == "answers")
            for key, _ in ready:
                data = os.read(key.fd, READ_SIZE)
                if not data and key.data == "answers":
                    raise Ended
                if not data:
                    self.selector.unregister(key.fd)
                elif key.data != "answers":
                    yield {"type": key.data, "text": data.decode(errors="replace")}
                else:
                    yield from self.lines(data)
                    if self.done:
                        return

    def lines(self, data):
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        self.done = False
        for text in lines:
            item = json.loads(text)
            self.done = item["type"] == "done"
            yield item

    done = False

    def end(self):
        self.selector.close()
        os.close(self.answers)
        self.process.kill()
        self.process.communicate()


class JavaScriptKernel(Kernel):
    implementation = "casemate-javascript"
    implementation_version = "1"
    banner = "JavaScript by Node.js"
    language_info = {"name": "javascript", "mimetype": "application/javascript", "file_extension": ".js"}
    typescript = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.node = Node(self.typescript)

    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False):
        # An interrupt goes to our process group: Node.js ends the execution, we wait for its word.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        failure = None
        try:
            for item in self.node.run(code):
                if item["type"] in ("stdout", "stderr") and not silent:
                    self.send_response(self.iopub_socket, "stream", {"name": item["type"], "text": item["text"]})
                elif item["type"] == "result" and not silent:
                    self.send_response(self.iopub_socket, "execute_result", {
                        "execution_count": self.execution_count, "data": item["data"], "metadata": {}})
                elif item["type"] == "error":
                    failure = {"ename": item["name"], "evalue": item["value"], "traceback": item["traceback"].split("\n")}
        except Ended:
            self.node.end()
            self.node = Node(self.typescript)
            failure = {"ename": "Exit", "evalue": "Node.js ended; what it knew is gone", "traceback": []}
        if failure is None:
            return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}
        if not silent:
            self.send_response(self.iopub_socket, "error", failure)
        return {"status": "error", "execution_count": self.execution_count, **failure}

    def do_shutdown(self, restart):
        self.node.end()
        return {"status": "ok", "restart": restart}


class TypeScriptKernel(JavaScriptKernel):
    typescript = True


if __name__ == "__main__":
    typescript_wanted = "--typescript" in sys.argv
    sys.argv = [a for a in sys.argv if a != "--typescript"]
    IPKernelApp.launch_instance(kernel_class=TypeScriptKernel if typescript_wanted else JavaScriptKernel)
