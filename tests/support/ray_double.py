"""A Ray head inside of the test, for what a real one cannot be made to do: to lose an answer, to forget its jobs, to be
old. It runs jobs as Ray 2.60 does (docs/PLACEMENT.md has the facts), on one node."""
import contextlib
import http.server
import json
import os
import signal
import subprocess
import threading
import time

AGENT = "http://127.0.0.1:52365"  # what Ray calls the agent of the node that runs a job
SEEN = 3  # seconds until Ray has seen that a job is over; one that is deleted before comes back, as FAILED


class RayJob:
    def __init__(self, body):
        self.body = body
        self.state, self.message = "PENDING", "Job has not started yet."
        self.process = None
        self.gpus = []
        self.is_stopped = False
        self.ended = None

    @property
    def is_over(self):
        return self.state not in ("PENDING", "RUNNING")


class RayDouble:
    """`jobs`: by submission_id. `faults`: callables, each of which is given the handler of the next submission that has been
    taken, and answers instead."""

    def __init__(self, gpus=16, version="2.60.0"):
        self.version, self.free = version, list(range(gpus))
        self.all_gpus = gpus
        self.jobs, self.faults, self.submitted = {}, [], []
        self._lock = threading.RLock()
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, body):
                text = body if isinstance(body, str) else json.dumps(body)
                self.send_response(status)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with double._lock:
                    double._look()
                    double._serve(self, self.command, self.path, body)
                    double._look()

            do_GET = do_POST = do_DELETE = serve

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that left

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def _serve(self, handler, command, path, body):
        if path == "/api/version":
            return handler.answer(200, {"version": "4", "ray_version": self.version})
        if path == "/api/cluster_status":
            usage = {"GPU": [float(self.all_gpus - len(self.free)), float(self.all_gpus)]}
            return handler.answer(200, {"data": {"clusterStatus": {"loadMetricsReport": {"usage": usage}}}})
        if path == "/api/v0/nodes":
            nodes = [{"node_id": "a1", "node_ip": "127.0.0.1", "state": "ALIVE", "resources_total": {"GPU": float(self.all_gpus)}}]
            return handler.answer(200, {"result": True, "data": {"result": {"total": 1, "result": nodes}}})
        if path == "/api/jobs/":
            if command == "POST":
                return self._submit(handler, json.loads(body))
            return handler.answer(200, [self._shown(job) for job in self.jobs.values()])
        name, _, verb = path.removeprefix("/api/jobs/").partition("/")
        job = self.jobs.get(name)
        if job is None:
            return handler.answer(404, f"Job {name} does not exist")
        if command == "DELETE":
            if not job.is_over:
                return handler.answer(500, f"RuntimeError: Attempted to delete job '{name}', but it is in a non-terminal state")
            if time.monotonic() - job.ended < SEEN:
                job.state, job.body = "FAILED", {"submission_id": name}
            else:
                del self.jobs[name]
            return handler.answer(200, {"deleted": True})
        if verb == "stop":
            job.is_stopped = True  # one that is pending is stopped when it begins
            if job.process:
                job.process.terminate()
            return handler.answer(200, {"stopped": True})
        return handler.answer(200, self._shown(job))

    def _submit(self, handler, body):
        name = body["submission_id"]
        if name in self.jobs:
            return handler.answer(500, f"RuntimeError: 400\nValueError: Job with submission_id {name} already exists. Please use "
                                       "a different submission_id.\n.")
        self.submitted.append(body)
        self.jobs[name] = RayJob(body)
        if self.faults:
            return self.faults.pop(0)(handler)
        return handler.answer(200, {"job_id": name, "submission_id": name})

    @staticmethod
    def _shown(job):
        return {"type": "SUBMISSION", "submission_id": job.body["submission_id"], "status": job.state, "message": job.message,
                "metadata": job.body.get("metadata"), "driver_agent_http_address": AGENT if job.process else None}

    def _look(self):
        """Who has ended, and who can begin."""
        for job in self.jobs.values():
            if job.state == "RUNNING" and (code := job.process.poll()) is not None:
                job.state = "STOPPED" if job.is_stopped else "SUCCEEDED" if code == 0 else "FAILED"
                job.message = f"Job entrypoint command failed with exit code {code}"
                self.free += job.gpus
                job.ended = time.monotonic()
        for job in self.jobs.values():
            wanted = job.body.get("entrypoint_num_gpus", 0)
            if job.state == "PENDING" and len(self.free) >= wanted:
                job.gpus, self.free = self.free[:wanted], self.free[wanted:]
                variables = {**job.body.get("runtime_env", {}).get("env_vars", {}),
                             "CUDA_VISIBLE_DEVICES": ",".join(map(str, job.gpus))}
                job.process = subprocess.Popen(job.body["entrypoint"], shell=True, start_new_session=True,
                                               env={**os.environ, **variables}, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL)
                job.state = "RUNNING"
                if job.is_stopped:
                    job.process.terminate()

    def look(self):
        with self._lock:
            self._look()
            return {name: job.state for name, job in self.jobs.items()}

    def submit(self, **body):
        """A job that somebody else has submitted."""
        with self._lock:
            self.jobs[body["submission_id"]] = RayJob(body)
            self._look()

    def lose_answer(self):
        """The next submission is taken, and its answer lost."""
        self.faults.append(lambda handler: handler.connection.close())

    def forget(self):
        """The head is started anew: its nodes have ended all processes, and no job is known."""
        with self._lock:
            for job in self.jobs.values():
                self._kill(job)
                self.free += job.gpus if job.state == "RUNNING" else []
            self.jobs.clear()

    @staticmethod
    def _kill(job):
        if job.process and job.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.process.pid, signal.SIGKILL)
            job.process.wait()

    def leave(self):
        """Nobody answers any more; what runs goes on."""
        self.server.shutdown()
        self.server.server_close()

    def close(self):
        self.leave()
        self.forget()
