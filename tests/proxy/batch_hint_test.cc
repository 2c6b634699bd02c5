// tests/proxy/batch_hint_test.cc - the hint names the cause and the key to change.
#include "proxy/terminal/batch_hint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;

BatchHistory history() {
  return {100, 300, 90, 64, 16, 0.5};
}

TEST(BatchHint, IsSilentWhileThereIsTooLittleToGoBy) {
  BatchHistory few = history();
  few.batches = 19;
  EXPECT_FALSE(batch_hint(few));
}

TEST(BatchHint, IsSilentWhenBatchesAreThreeQuartersFull) {
  BatchHistory full = history();
  full.prompts = 1200;
  EXPECT_FALSE(batch_hint(full));
}

TEST(BatchHint, NamesTooFewClientsFirst) {
  BatchHistory few_clients = history();
  few_clients.clients = 8;
  EXPECT_THAT(*batch_hint(few_clients), HasSubstr("only 8 clients"));
  EXPECT_THAT(*batch_hint(few_clients), HasSubstr("batch_size to 8"));
}

TEST(BatchHint, SpeaksForEightWorkersAndABatchSizeOfSixteen) {
  EXPECT_THAT(*batch_hint({20, 160, 20, 8, 16, 0.5}), HasSubstr("only 8 clients"));
}

TEST(BatchHint, NamesATimeoutThatIsTooShort) {
  EXPECT_THAT(*batch_hint(history()), HasSubstr("Raise batch_timeout"));
}

TEST(BatchHint, NamesListsThatDoNotAddUp) {
  BatchHistory by_size = history();
  by_size.by_timeout = 0;
  EXPECT_THAT(*batch_hint(by_size), HasSubstr("Lower batch_size"));
}

}  // namespace
}  // namespace batchproxy
