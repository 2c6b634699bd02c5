"""Rules of the house that no compiler holds us to."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ["configs", "batcher", "backends", "launcher", "proxy", "bench"]
# Who may include whom, besides itself.
ARROWS = {
    "configs": set(),
    "batcher": set(),
    "backends": {"configs", "batcher"},
    "launcher": {"configs", "batcher", "backends"},
    "proxy": {"configs", "batcher", "backends", "launcher"},
    "bench": {"configs", "batcher", "backends"},
}


def sources():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".h", ".cc"):
                yield folder, path, path.read_text()


def violations_of_arrows(folder, text):
    included = re.findall(r'#include "(\w+)/', text)
    return sorted({other for other in included
                   if other in FOLDERS and other != folder and other not in ARROWS[folder]})


def test_includes_point_along_the_arrows():
    wrong = [f"{path.relative_to(ROOT)} includes {other}/"
             for folder, path, text in sources() for other in violations_of_arrows(folder, text)]
    assert not wrong, "\n".join(wrong)


def test_the_check_above_sees_an_include_against_the_arrows():
    assert violations_of_arrows("batcher", '#include "proxy/app.h"') == ["proxy"]


def circles(arrows):
    """The rooms that include themselves by way of others. `arrows`: room -> the rooms that it includes."""
    reached = {room: set(others) for room, others in arrows.items()}
    for middle in arrows:
        for found in reached.values():
            if middle in found:
                found |= reached[middle]
    return sorted(room for room, found in reached.items() if room in found)


TYPE = re.compile(r"^(?:struct|class|enum class|enum) (\w+)(?: final)?(?: : [^;{]*)? \{", re.M)


def types_of(path, text):
    """Types that other files can name or, by the linker, get in the way of: namespace::name."""
    spaces = re.findall(r"^namespace ([\w:]+) \{", text, re.M)
    if path.suffix == ".cc":
        text = re.sub(r"^namespace \{.*?^\}  // namespace$", "", text, flags=re.M | re.S)
    return {f"{spaces[0] if spaces else ''}::{name}" for name in TYPE.findall(text)}


def test_no_two_types_have_one_name():
    """No compiler and no linker complains: one destructor is taken for both, and the other type crashes in it."""
    places = {}
    for _, path, text in sources():
        for name in types_of(path, text):
            places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 300
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_the_check_above_sees_types():
    text = "namespace a::b {\nnamespace {\nstruct Hidden {\n};\n}  // namespace\nenum class Seen : int {\n};\n}\n"
    assert types_of(pathlib.Path("x.cc"), text) == {"a::b::Seen"}
    assert types_of(pathlib.Path("x.h"), text) == {"a::b::Hidden", "a::b::Seen"}


def test_rooms_do_not_include_each_other_in_a_circle():
    """A folder within a folder is a room: configs/yaml, batcher/fleet, proxy/request."""
    arrows = {}
    for _, path, text in sources():
        room = str(path.relative_to(ROOT).parent)
        included = {name.rsplit("/", 1)[0] for name in re.findall(r'#include "([\w/]+\.h)"', text)}
        arrows.setdefault(room, set()).update(included - {room})
    assert not circles(arrows)


def test_the_check_above_sees_a_circle():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_no_room_is_a_drawer():
    """About twenty files can be seen at a glance; more want rooms of their own."""
    sizes = {}
    for _, path, _ in sources():
        room = str(path.relative_to(ROOT).parent)
        sizes[room] = sizes.get(room, 0) + 1
    assert not {room: size for room, size in sizes.items() if size > 22}


def awaits_in_conditions(text):
    """Offsets of conditions (behind any init statement) that hold a co_await."""
    for match in re.finditer(r"\b(?:if|switch|while) \(", text):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if "co_await" in text[match.end():end - 1].rsplit(";", 1)[-1]:
            yield match.start()


def test_no_co_await_in_a_condition():
    """g++ 12 destroys the awaited frame twice; name the result first (see CONTRIBUTING.md)."""
    wrong = [f"{path.relative_to(ROOT)}:{text[:offset].count(chr(10)) + 1}"
             for _, path, text in sources() for offset in awaits_in_conditions(text)]
    assert not wrong, "\n".join(wrong)


def test_the_check_above_sees_one():
    assert list(awaits_in_conditions("if (!co_await read()) return;"))
    assert list(awaits_in_conditions("if (auto x = co_await f(a)) return;"))
    assert not list(awaits_in_conditions("if (const bool ok = co_await read(); !ok) co_await x();"))


AWAIT_WITH_BRACES = re.compile(r"\bco_await\b[^;]*\{[^;]*;")


def test_no_braces_in_an_awaited_expression():
    """g++ 12 destroys a brace-initialised argument of an awaited call twice; name it first."""
    wrong = [f"{path.relative_to(ROOT)}:{text[:match.start()].count(chr(10)) + 1}"
             for _, path, text in sources() for match in AWAIT_WITH_BRACES.finditer(text)]
    assert not wrong, "\n".join(wrong)


def test_the_check_above_sees_braces():
    assert AWAIT_WITH_BRACES.search('co_await reject({Errc::kBadHttp, "x"});')
    assert not AWAIT_WITH_BRACES.search("co_await reject(error);")


def test_every_file_says_what_it_is_for():
    wrong = [str(path.relative_to(ROOT)) for _, path, text in sources()
             if not text.startswith(f"// {path.relative_to(ROOT)} - ")]
    assert not wrong, "\n".join(wrong)


def test_every_header_states_its_threading():
    wrong = [str(path.relative_to(ROOT)) for _, path, text in sources()
             if path.suffix == ".h" and "Threading:" not in text]
    assert not wrong, "\n".join(wrong)


def test_only_the_loader_knows_yaml_cpp():
    users = [str(path.relative_to(ROOT)) for _, path, text in sources() if "<yaml-cpp/" in text]
    assert all(user.startswith("configs/") for user in users), users


def test_random_numbers_come_from_the_kernel():
    """std::random_device of Debian 12's libstdc++ needs glibc 2.36; what we give to others runs with 2.35."""
    assert not [str(path.relative_to(ROOT)) for _, path, text in sources() if re.search(r"(?m)^[^/]*random_device", text)]


def test_cores_are_not_told_the_time_by_a_clock():
    """Sans-io cores take time as an argument: `::now()` appears in drivers only."""
    drivers = {"batcher/lane.cc", "backends/health/backend_monitor.cc", "backends/call/connection_pool.cc", "backends/call/control_stream.cc", "backends/names/name_watch.cc", "backends/net/deadline.h", "proxy/app.cc", "proxy/admin/admin.cc", "proxy/decisions/decided_request.cc", "proxy/request/reply_writer.cc", "proxy/trace/access_log.cc", "proxy/trace/log_file.cc", "proxy/otlp/span_exporter.cc", "proxy/files/wall_clock.h", "proxy/control/backend_control.cc", "proxy/control/engine_orders.cc", "proxy/limits/body_receiver.cc", "proxy/request/request_handler.cc", "proxy/request/leg.cc", "proxy/thread/io_thread.h", "proxy/commands/top.cc", "proxy/commands/check.cc", "proxy/terminal/console.cc",
               "proxy/edge/listener.cc", "proxy/request/merged_call.cc", "proxy/edge/session.cc", "proxy/jobs/asker.cc", "proxy/jobs/recorder.cc", "proxy/jobs/run/job_proxy.cc", "proxy/jobs/run/job_run.cc", "bench/commands/advise_command.cc", "bench/load/client.cc", "bench/stub_engine.cc", "backends/child/program_output.cc", "launcher/agent/agent.cc", "launcher/agent/agent_listener.cc", "launcher/launcher.cc", "launcher/process/group_guard.cc", "launcher/process/shim.cc",
               "backends/sim/engine_driver.cc", "backends/sim/startup_log.cc", "backends/sim/api/api.cc",
               "backends/sim/server.cc", "launcher/placement/ray_placement.cc", "launcher/placement/far_engine.cc"}
    users = {str(path.relative_to(ROOT)) for _, path, text in sources() if "::now()" in text}
    assert users <= drivers, users - drivers


def compiles(folder, header, source):
    (folder / "backends").mkdir(exist_ok=True)
    (folder / "backends" / "life_cycle.h").write_text(header)
    (folder / "backends" / "life_cycle.cc").write_text(source)
    command = ["c++", "-std=c++20", "-fsyntax-only", "-I", folder, "-I", ROOT, folder / "backends" / "life_cycle.cc"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not shutil.which("c++"), reason="needs a compiler")
def test_a_state_or_an_event_without_its_place_in_the_life_cycle_does_not_compile(tmp_path):
    header = (ROOT / "backends" / "life_cycle.h").read_text()
    source = (ROOT / "backends" / "life_cycle.cc").read_text()
    assert compiles(tmp_path, header, source)
    for last in ("kRemoved,", "kDrained,"):
        assert not compiles(tmp_path, re.sub(rf"(\n  {last})", r"\n  kParked,\1", header, count=1), source), last
    column = source.replace("removal_asked, drained;", "removal_asked, drained, parked;")
    assert column != source and not compiles(tmp_path, header, column)
