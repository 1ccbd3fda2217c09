"""The real server as a process of its own, for the scripts about deploy/. Not here: what is asked of it."""

import os
import queue
import subprocess
import threading


class Server:
    """Started with these arguments and variables, on ports of its own; ended by its own process id."""

    def __init__(self, binary, args, variables):
        # the configuration of whoever runs the tests is not the test's
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONVNEXT_", "HF_"))}
        ports = {f"CONVNEXT_{port}_ADDR": "127.0.0.1:0" for port in ("HTTP", "GRPC", "ADMIN")}
        # a flag of a port would win over the variable
        args = [argument if "-addr=" not in argument else f"{argument.split('=')[0]}=127.0.0.1:0" for argument in args]
        command = [binary, *args]
        self.process = subprocess.Popen(command, env=environment | ports | variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines, self.errors = queue.Queue(), []
        self.base = self.http = self.grpc = None
        for stream, take in ((self.process.stdout, self.lines.put), (self.process.stderr, self.errors.append)):
            threading.Thread(target=lambda stream=stream, take=take: [take(line) for line in stream] + [take(None)], daemon=True).start()

    def ready(self):
        """Waits until it says where it listens."""
        while self.grpc is None:
            line = self.lines.get(timeout=30)
            if line is None:
                self.process.wait(timeout=30)
                raise RuntimeError("".join(line for line in self.errors if line))
            if line.startswith("listening on "):
                self.base = line.removeprefix("listening on ").strip()
                self.http = self.base.split("://")[1]
            if line.startswith("grpc on "):
                self.grpc = line.split("://")[1].strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(timeout=30)
