// tests/launcher/plan/executable_test.cc - finding programs, and what is said when there is none.
#include "launcher/plan/executable.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

class FindExecutable : public testing::Test {
 protected:
  std::string add_file(const std::string& name, fs::perms permissions) {
    const std::string path = directory_.file(name);
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << "#!/bin/sh\n";
    fs::permissions(path, permissions);
    return path;
  }

  TemporaryDirectory directory_;
};

TEST_F(FindExecutable, TakesTheFirstOnPath) {
  const std::string first = add_file("a/vllm", fs::perms::owner_all);
  add_file("b/vllm", fs::perms::owner_all);
  EXPECT_EQ(
      *find_executable("vllm", "/nowhere:" + directory_.file("a") + ":" + directory_.file("b")),
      first);
}

TEST_F(FindExecutable, PassesOverWhatIsNotAProgram) {
  add_file("a/vllm", fs::perms::owner_read);
  fs::create_directories(directory_.file("b/vllm"));
  const std::string program = add_file("c/vllm", fs::perms::owner_all);
  EXPECT_EQ(*find_executable("vllm", directory_.file("a") + ":" + directory_.file("b") + ":" +
                                         directory_.file("c")),
            program);
}

TEST_F(FindExecutable, TakesAPathAsItIs) {
  const std::string program = add_file("vllm", fs::perms::owner_all);
  EXPECT_EQ(*find_executable(program, ""), program);
}

TEST_F(FindExecutable, SaysWhatToDoWhenNothingIsFound) {
  EXPECT_EQ(find_executable("vllm", "/nowhere").error().text,
            "`vllm` was not found on PATH: activate its environment, set "
            "batchproxy.launcher.executable, or try --engine sim");
  EXPECT_EQ(find_executable("/no/vllm", "").error().text,
            "`/no/vllm` does not exist: correct batchproxy.launcher.executable (or "
            "launcher.command), or try --engine sim");
}

TEST_F(FindExecutable, ResolvesPlansAndReportsEachMissingProgramOnce) {
  const std::string program = add_file("vllm", fs::perms::owner_all);
  std::vector<EnginePlan> plans(3);
  plans[0].argv = {"vllm", "serve"};
  plans[1].argv = {"missing"};
  plans[2].argv = {"missing"};
  EXPECT_EQ(resolve_executables(plans, directory_.file("")).size(), 1u);
  EXPECT_EQ(plans[0].argv, (std::vector<std::string>{program, "serve"}));
}

}  // namespace
}  // namespace batchproxy
