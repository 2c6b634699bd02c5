"""Eight 2-GPU engines over two nodes of a real Ray, behind one URL."""
import collections
import hashlib
import signal
import subprocess
import threading

import pytest

from tests.ray.cluster import PATIENCE, RAY, TOKEN, Cluster, our_processes
from tests.support.asking import complete
from tests.support.builds import PROXY
from tests.support.proxy import Proxy, write_config
from tests.support.runs import prompt_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.full("ray")
ENGINES = 8


@pytest.fixture(scope="module")
def cluster():
    assert RAY.exists(), "scripts/python-tools --ray installs it"
    one = Cluster()
    try:
        wait_until(lambda: one.nodes_alive() == 2, "two nodes", PATIENCE)
        yield one
    finally:
        one.close()


def configured(tmp_path, cluster, servers=ENGINES, token=TOKEN):
    """The file for a proxy whose engines are to be jobs of the cluster."""
    file = tmp_path / "token"
    file.write_text(token + "\n")
    config = write_config(tmp_path / "c.yaml", servers=servers, placement="ray", ray_address=cluster.url,
                          ray_token_file=str(file), agents_listen="127.0.0.1:0")
    config.write_text(config.read_text().replace("vllm_args: {", "vllm_args: {sim_answer: sha256, "))
    return config


@pytest.fixture
def start(tmp_path, cluster):
    """start(servers): a proxy with such a file."""
    started = []

    def begin(servers=ENGINES):
        started.append(Proxy(["--config", configured(tmp_path, cluster, servers)], tmp_path))
        return started[-1]

    yield begin
    for proxy in started:
        if proxy.is_running():
            proxy.stop()
    wait_until(lambda: not cluster.live_jobs() and not our_processes(), "nothing is left for the next test", PATIENCE)


def ready(proxy, engines):
    wait_until(lambda: sum(b["state"] == "ready" for b in proxy.status()["backends"]) >= engines,
               f"{engines} engines are ready\n{proxy.output()}", PATIENCE)


class Questions:
    """Clients that ask as many questions as they are allowed, each once. `wrong`: whatever came that was no right answer."""

    def __init__(self, url, clients=32):
        self.url, self.next, self.right = url, 0, 0
        self.wrong = collections.Counter()
        self._allowed = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        while True:
            self._allowed.acquire()
            with self._lock:
                number, self.next = self.next, self.next + 1
            prompt = prompt_of(number)
            try:
                response, body = complete(self.url, prompt, max_tokens=1)
                text = body["choices"][0]["text"] if response.status == 200 else None
                right = text and hashlib.sha256(prompt.encode()).hexdigest().startswith(text)
                problem = None if right else f"{response.status} {body}"
            except Exception as error:  # whatever it is, it is no answer
                problem = repr(error)
            with self._lock:
                self.right += problem is None
                if problem:
                    self.wrong[problem[:200]] += 1

    def allow(self, count):
        self._allowed.release(count)

    def answered(self):
        with self._lock:
            return self.right + self.wrong.total()


def test_five_thousand_questions_while_a_node_goes_and_comes_back(start, cluster):
    proxy = start()
    ready(proxy, ENGINES)
    assert len(cluster.live_jobs()) == ENGINES
    questions = Questions(proxy.url)
    questions.allow(2000)
    wait_until(lambda: questions.answered() > 500, "the first answers", PATIENCE)
    cluster.nodes.pop().vanish()
    wait_until(lambda: sum(b["state"] == "ready" for b in proxy.status()["backends"]) <= ENGINES // 2,
               f"four engines are seen to have died\n{proxy.output()}", PATIENCE)
    questions.allow(1500)
    wait_until(lambda: questions.answered() >= 3000, "answers of half of the engines", PATIENCE)
    cluster.add_node()
    questions.allow(1000)
    ready(proxy, ENGINES)
    questions.allow(500)
    wait_until(lambda: questions.answered() == 5000, f"all are answered, not {questions.answered()}", PATIENCE)
    assert not questions.wrong
    assert questions.right == 5000
    proxy.assert_balanced()

    proxy.stop(signal.SIGINT)
    assert not our_processes()
    assert not cluster.live_jobs()
    proxy.assert_clean()


def test_nothing_is_left_after_a_kill_and_the_next_run_begins_at_once(start, cluster):
    proxy = start()
    ready(proxy, ENGINES)
    first = set(cluster.live_jobs())
    proxy.kill()
    wait_until(lambda: not our_processes(), f"the engines have ended: {our_processes()}", PATIENCE)
    wait_until(lambda: not cluster.live_jobs(), f"the jobs have ended: {cluster.jobs()}", PATIENCE)
    second = start()
    ready(second, ENGINES)
    wait_until(lambda: not first & set(cluster.jobs()), f"those of the first are deleted: {cluster.jobs()}", PATIENCE)
    second.stop(signal.SIGINT)
    assert not cluster.live_jobs()
    assert not first & set(cluster.jobs()), "and none of them has come back"


def test_a_wrong_token_ends_the_start(tmp_path, cluster):
    config = configured(tmp_path, cluster, servers=1, token="not-this-one")
    result = subprocess.run([PROXY, "--config", config], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    says = (f"Ray at {cluster.url} does not take this token (it answers 403): the token is what `ray get-auth-token` prints on "
            "the head node; put it into a file and name that in launcher.ray_token_file, or set RAY_AUTH_TOKEN")
    assert result.returncode == 2 and says in result.stderr, result.stderr
    assert "not-this-one" not in result.stderr + result.stdout
    assert not cluster.live_jobs()


def test_the_ninth_engine_says_that_no_gpus_are_left(start, cluster):
    proxy = start(servers=ENGINES + 1)
    ready(proxy, ENGINES)
    wait_until(lambda: any("its job has been PENDING in Ray for " in b.get("doing", "") and
                           b["doing"].endswith(": it needs 2 GPUs of one node; the cluster has 16, 0 of them free")
                           for b in proxy.status()["backends"]), f"its wait is told: {proxy.status()}", PATIENCE)
    assert complete(proxy.url, "hello")[0].status == 200
    proxy.stop(signal.SIGINT)
    assert not our_processes()
    # Nothing can be taken out of Ray's queue: the ninth begins once it has its GPUs, and ends at once.
    wait_until(lambda: not cluster.live_jobs(), f"its job has ended: {cluster.jobs()}", PATIENCE)
