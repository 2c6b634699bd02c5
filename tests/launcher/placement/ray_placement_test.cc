// tests/launcher/placement/ray_placement_test.cc - whose leftovers are whose, and what is shown.
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/placement/ray_placement.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ProcessMark, IsOfOneProcessForAsLongAsItLives) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const std::string mark = process_mark(child);
  EXPECT_THAT(mark, HasSubstr(std::to_string(child) + " "));
  EXPECT_NE(mark, process_mark(::getpid()));
  EXPECT_TRUE(process_lives(mark));
  EXPECT_FALSE(process_lives(std::to_string(child) + " 1"));  // another had that pid
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(process_lives(mark));
}

TEST(ProcessMark, IsNoneWithoutAProcess) {
  EXPECT_EQ(process_mark(0), "");
  EXPECT_FALSE(process_lives(""));
  EXPECT_FALSE(process_lives("nonsense"));
}

Options options_of(const std::string& address, const std::string& token_file = "") {
  Options options;
  options.proxy.launcher.ray_address.value = address;
  options.proxy.launcher.ray_token_file.value = token_file;
  return options;
}

TEST(RayLacks, NamesAnAddressThatIsNone) {
  EXPECT_THAT(ray_lacks(options_of("head:8265"), {}),
              ElementsAre(HasSubstr("launcher.ray_address: expected http://HOST:PORT")));
  EXPECT_THAT(ray_lacks(options_of("http://head:8265"), {}), IsEmpty());
}

TEST(RayLacks, NamesATokenThatCannotBeRead) {
  const TemporaryDirectory folder;
  EXPECT_THAT(ray_lacks(options_of("http://head:8265", folder.file("none")), {}),
              ElementsAre(HasSubstr("cannot read " + folder.file("none"))));
}

TEST(RayShown, IsALineForAShell) {
  AgentCall call;
  call.gpus = 2;
  call.argv = {"/opt/my batchproxy", "engine-agent", "--proxy", "login1:7000"};
  call.token = "secret";
  EXPECT_EQ(ray_shown(options_of("http://head:8265"), {}, call),
            "ray job submit --address http://head:8265 --entrypoint-num-gpus 2 -- "
            "'/opt/my batchproxy' engine-agent --proxy login1:7000");
}

}  // namespace
}  // namespace batchproxy
