# SPDX-License-Identifier: Apache-2.0
"""A context: a Jupyter kernel of its own, and one execution after another in it."""
import asyncio
import json
import os
import queue
import shutil
import sys
import tempfile
import uuid

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from tornado.httpclient import AsyncHTTPClient

HERE = os.path.dirname(os.path.abspath(__file__))
LANGUAGES = ("python", "javascript", "typescript")
KEEPALIVE_S = 5
START_S = 300     # an emulated machine is slow
AGAIN_S = 1       # between two tries to start one
INTERRUPT_S = 10  # how long an interrupted execution holds up the next one
ENVS_S = 5
CONTEXTS_MAX = 64

# What a result's member is called, by MIME type.
MEMBERS = {
    "text/plain": "text", "text/html": "html", "text/markdown": "markdown", "image/svg+xml": "svg", "image/png": "png",
    "image/jpeg": "jpeg", "application/pdf": "pdf", "text/latex": "latex", "application/json": "json",
    "application/javascript": "javascript", "application/vnd.casemate.data+json": "data",
    "application/vnd.casemate.chart+json": "chart",
}


class UnknownContext(Exception):
    """Its text is the id."""


def result(content, is_main):
    """A kernel's display_data or execute_result as a line's object."""
    item = {"type": "result", "is_main_result": is_main}
    extra = {}
    for mime, value in content["data"].items():
        if mime in MEMBERS:
            item[MEMBERS[mime]] = value
        else:
            extra[mime] = value
    text = item.get("text")
    # A text, not its representation.
    if text and len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        item["text"] = text[1:-1]
    if extra:
        item["extra"] = extra
    return item


def error(name, value, traceback=""):
    return {"type": "error", "name": name, "value": value, "traceback": traceback}


# How a language sets and removes variables of its process. The values are literals of that language, never pasted text.
def python_envs(values, gone):
    return (f"import os as _casemate_os\n_casemate_os.environ.update({values!r})\n"
            f"for _casemate_name in {gone!r}: _casemate_os.environ.pop(_casemate_name, None)\n"
            "globals().pop('_casemate_name', None); del _casemate_os")


def javascript_envs(values, gone):
    return (f"Object.assign(process.env, {json.dumps(values)}); "
            f"for (const name of {json.dumps(gone)}) delete process.env[name]; undefined")


SET_ENVS = {"python": python_envs, "javascript": javascript_envs, "typescript": javascript_envs}


class Context:
    def __init__(self, language, cwd, agent):
        self.id = str(uuid.uuid4())
        self.language = language
        self.cwd = cwd
        self.agent = agent
        self.envs = None  # the sandbox's, once asked for
        self.lock = asyncio.Lock()
        # Unix sockets where only we get: TCP ports would be the whole guest's, and its gateway's.
        self.dir = tempfile.mkdtemp(prefix="kernel-")
        specs = KernelSpecManager(kernel_dirs=[os.path.join(HERE, "share", "kernels")])
        self.manager = AsyncKernelManager(
            kernel_name=f"casemate-{language}", kernel_spec_manager=specs, transport="ipc", ip=os.path.join(self.dir, "s"),
            connection_file=os.path.join(self.dir, "connection.json"), shutdown_wait_time=1)
        self.client = None

    def describe(self):
        return {"id": self.id, "language": self.language, "cwd": self.cwd}

    async def start(self):
        await self.manager.start_kernel(cwd=self.cwd)
        await self.connect()

    async def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=START_S)
        # Ready to answer isn't ready to be heard: what it publishes before our subscription has reached it is lost, an
        # execution's end too. So it is asked until we have heard something.
        for _ in range(START_S):
            self.client.kernel_info()
            try:
                await self.client.get_iopub_msg(timeout=1)
                return
            except queue.Empty:
                pass
        raise RuntimeError("the kernel publishes nothing")

    async def restart(self):
        """Everything that the context knew is gone; whoever waits for an execution learns it by the kernel's end."""
        self.client.stop_channels()
        await self.manager.restart_kernel(now=True)
        await self.connect()
        self.envs = None

    async def close(self):
        if self.client:
            self.client.stop_channels()
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel(now=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    async def execute(self, code, env_vars, token, send):
        """Runs it and sends what comes, in order. Cancelled: the kernel is interrupted."""
        async with self.lock:
            if not await self.manager.is_alive():
                await self.restart()
            await self.prepare(env_vars, token)
            try:
                await self.run(code, False, send)
            finally:
                if env_vars and self.envs is not None:
                    back = {k: self.envs[k] for k in env_vars if k in self.envs}
                    await self.set_envs(back, [k for k in env_vars if k not in self.envs])

    async def prepare(self, env_vars, token):
        """The sandbox's environment, which it got after this kernel was started and perhaps frozen; then the execution's."""
        first = self.envs is None
        if first:
            self.envs = await self.ask_envs(token)
        values = {**(self.envs if first else {}), **env_vars}
        if values:
            await self.set_envs(values, [])

    async def ask_envs(self, token):
        headers = {"X-Access-Token": token} if token else {}
        try:
            answer = await AsyncHTTPClient().fetch(self.agent + "/envs", headers=headers, request_timeout=ENVS_S)
            envs = json.loads(answer.body)
            return {str(k): str(v) for k, v in envs.items()}
        except Exception as reason:  # pylint: disable=broad-except
            # Code runs without them rather than not at all; a sandbox without an agent is a test's.
            print(f"code-interpreter: {self.agent}/envs: {reason}", file=sys.stderr)
            return {}

    async def set_envs(self, values, gone):
        async def nobody(_):
            pass
        await self.run(SET_ENVS[self.language](values, gone), True, nobody)

    async def run(self, code, silent, send):
        request = self.client.execute(code, silent=silent, store_history=not silent, allow_stdin=False)
        try:
            await self.follow(request, send)
        except asyncio.CancelledError:
            await self.manager.interrupt_kernel()
            try:
                await asyncio.wait_for(self.follow(request, self.drop), INTERRUPT_S)
            except asyncio.TimeoutError:
                pass  # it resists; the next one waits its turn in the kernel
            raise

    async def drop(self, _):
        pass

    async def follow(self, request, send):
        """Passes messages of this request on until the kernel is idle again, or is no more."""
        failed = False
        client = self.client
        while True:
            try:
                message = await client.get_iopub_msg(timeout=KEEPALIVE_S)
            except Exception:  # pylint: disable=broad-except
                # queue.Empty, or a channel that restart() has closed.
                if client is not self.client or not await self.manager.is_alive():
                    await send(error("UnexpectedEndOfExecution", "The kernel ended before the execution did"))
                    return
                await send({"type": "keepalive"})
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                await send({"type": content["name"], "text": content["text"],
                            "timestamp": message["header"]["date"].isoformat()})
            elif kind == "execute_input":
                await send({"type": "number_of_executions", "execution_count": content["execution_count"]})
            elif kind in ("display_data", "execute_result"):
                await send(result(content, kind == "execute_result"))
            elif kind == "error" and not failed:
                failed = True
                if content["ename"] == "Exit":
                    self.envs = None  # the kernel goes on with a new Node.js, which doesn't know them
                await send(error(content["ename"], content["evalue"], "\n".join(content["traceback"])))
            elif kind == "status" and content["execution_state"] == "idle":
                return


class Contexts:
    def __init__(self, cwd, agent):
        self.cwd = cwd
        self.agent = agent
        self.known = {}
        self.defaults = {}  # language: a task that makes it
        self.warm = asyncio.Event()

    async def warm_up(self, languages):
        """Until all of them are there: what is frozen without would start them in every sandbox."""
        for language in languages:
            while language not in {c.language for c in self.known.values()}:
                try:
                    await self.default(language)
                except Exception as reason:  # pylint: disable=broad-except
                    print(f"code-interpreter: {language}: {reason!r}", file=sys.stderr)
                    await asyncio.sleep(AGAIN_S)
        self.warm.set()

    async def create(self, language, cwd=None):
        if len(self.known) >= CONTEXTS_MAX:
            raise RuntimeError(f"there are {CONTEXTS_MAX} contexts already; remove one")
        context = Context(language, cwd or self.cwd, self.agent)
        try:
            await context.start()
        except BaseException:
            await context.close()
            raise
        self.known[context.id] = context
        return context

    async def default(self, language):
        """The language's first context; made once, however many ask for it meanwhile."""
        task = self.defaults.get(language)
        if task is None or (task.done() and (task.cancelled() or task.exception() or task.result().id not in self.known)):
            task = self.defaults[language] = asyncio.ensure_future(self.create(language))
        return await asyncio.shield(task)

    def find(self, context_id):
        if context_id not in self.known:
            raise UnknownContext(context_id)
        return self.known[context_id]

    def all(self):
        return list(self.known.values())

    async def remove(self, context_id):
        await self.find(context_id).close()
        self.known.pop(context_id, None)

    async def close(self):
        for context in self.all():
            await context.close()
