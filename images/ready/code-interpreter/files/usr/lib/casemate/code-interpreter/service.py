#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The code interpreter's HTTP service: runs code in Jupyter kernels and streams what comes of it.

    POST /execute {code, context_id?, language?, env_vars?}   a JSON object a line, until end_of_execution
    GET, POST /contexts; POST /contexts/ID/restart; DELETE /contexts/ID
    GET /health                                               200 once the first contexts are warm

It listens on port 49999 of the guest's loopback only; the host reaches that through the agent. Tornado is the server
because jupyter-client brings it in any case. Whoever reaches the port runs code as our user: there is nothing to protect
here from them, only one context's work from another's mistakes.
"""
import argparse
import asyncio
import json
import logging
import signal

import tornado.web

from context import Contexts, LANGUAGES, UnknownContext

BODY_MAX = 64 << 20
log = logging.getLogger("code-interpreter")


class Bad(Exception):
    """The request is wrong: the status, and a text for a person."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def strict(value):
    """What JSON has no number for becomes null: NaN and the infinities, which readers in JavaScript refuse."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    return value


def line(item):
    try:
        return json.dumps(item, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(strict(item), allow_nan=False) + "\n"


class Handler(tornado.web.RequestHandler):
    @property
    def contexts(self):
        return self.application.settings["contexts"]

    def set_default_headers(self):
        self.clear_header("Server")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Headers", "*")
        self.set_header("Access-Control-Allow-Methods", "*")

    def options(self, *_):
        self.set_status(204)

    def write_error(self, status_code, **kwargs):
        """Plain text: what the SDKs show."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, UnknownContext):
            status_code, text = 404, f"Context {error} not found"
        elif isinstance(error, Bad):
            status_code, text = error.status, str(error)
        else:
            text = str(error) or self._reason
        self.set_status(status_code)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(text)

    def log_exception(self, typ, value, tb):
        if not isinstance(value, (Bad, UnknownContext)):
            super().log_exception(typ, value, tb)

    def body(self, **fields):
        """The members of the body that there may be, each of its type or absent."""
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError as error:
            raise Bad(400, "the body is not JSON") from error
        if not isinstance(body, dict):
            raise Bad(400, "the body is not an object")
        for name, kind in fields.items():
            if body.get(name) is not None and not isinstance(body[name], kind):
                raise Bad(400, f"{name}: is not of type {kind.__name__}")
        return [body.get(name) for name in fields]

    def language(self, name):
        name = (name or "python").lower().strip()
        name = {"js": "javascript", "ts": "typescript"}.get(name, name)
        if name not in LANGUAGES:
            raise Bad(400, f"language {name}: there is no kernel for it; there are: {', '.join(LANGUAGES)}")
        return name


class Health(Handler):
    def get(self):
        if not self.contexts.warm.is_set():
            raise Bad(503, "starting")
        self.finish(json.dumps("OK"))


class Execute(Handler):
    task = None

    async def post(self):
        code, context_id, language, env_vars = self.body(code=str, context_id=str, language=str, env_vars=dict)
        if code is None:
            raise Bad(400, "code: is missing")
        if context_id and language:
            raise Bad(400, "Only one of context_id or language can be provided")
        env_vars = {str(k): str(v) for k, v in (env_vars or {}).items()}
        if context_id:
            context = self.contexts.find(context_id)
        else:
            context = await self.contexts.default(self.language(language))
        self.set_header("Content-Type", "application/x-ndjson")
        await self.flush()  # whoever waits knows that it has begun, and what a cut connection means
        self.task = asyncio.ensure_future(
            context.execute(code, env_vars, self.request.headers.get("X-Access-Token"), self.send))
        try:
            await self.task
            await self.send({"type": "end_of_execution"})
        except (asyncio.CancelledError, tornado.iostream.StreamClosedError):
            pass  # nobody is there any more

    async def send(self, item):
        self.write(line(item))
        await self.flush()

    def on_connection_close(self):
        if self.task:
            self.task.cancel()


class ContextList(Handler):
    def get(self):
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps([c.describe() for c in self.contexts.all()]))

    async def post(self):
        language, cwd = self.body(language=str, cwd=str)
        try:
            context = await self.contexts.create(self.language(language), cwd)
        except OSError as error:  # a directory that isn't there, or isn't ours
            raise Bad(400, f"cwd: {error.strerror}") from error
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(context.describe()))


class OneContext(Handler):
    async def delete(self, context_id):
        await self.contexts.remove(context_id)
        self.finish()


class Restart(Handler):
    async def post(self, context_id):
        await self.contexts.find(context_id).restart()
        self.finish()


async def serve(args):
    contexts = Contexts(args.cwd, args.agent)
    app = tornado.web.Application([
        ("/health", Health), ("/execute", Execute), ("/contexts", ContextList),
        ("/contexts/([^/]+)", OneContext), ("/contexts/([^/]+)/restart", Restart),
    ], contexts=contexts)
    server = app.listen(args.port, args.address, max_body_size=BODY_MAX, max_buffer_size=BODY_MAX + (1 << 20))
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    if args.port == 0:  # for tests: which one it became
        print(next(iter(server._sockets.values())).getsockname()[1], flush=True)
    # pylint: disable=unused-variable
    warming = asyncio.ensure_future(contexts.warm_up([w for w in args.warm.split(",") if w]))
    await end.wait()
    warming.cancel()
    server.stop()
    await contexts.close()


def main():
    parser = argparse.ArgumentParser(description="The code interpreter's service.")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=49999)
    parser.add_argument("--cwd", default="/home/user", help="where contexts start")
    parser.add_argument("--warm", default="python,javascript", help="languages whose kernels start at once")
    parser.add_argument("--agent", default="http://127.0.0.1:49983", help="who knows the sandbox's environment")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # 503 until it is warm is no news
    asyncio.run(serve(args))


if __name__ == "__main__":
    main()
