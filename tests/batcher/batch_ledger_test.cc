// tests/batcher/batch_ledger_test.cc - BatchLedger: from grant to last answer.
#include "batcher/batch_ledger.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

TEST(BatchLedger, ReportsABatchWithItsLastAnswer) {
  BatchLedger ledger;
  Verdict verdict;
  verdict.backend = 2;
  verdict.batch = {7, 3, FlushReason::kFull};
  const TimePoint start{};
  ledger.granted(verdict, start);
  ledger.granted(verdict, start);
  EXPECT_FALSE(ledger.completed(7, 1, true, start + 1s));
  EXPECT_FALSE(ledger.completed(7, 1, false, start + 2s));
  const auto done = ledger.completed(7, 1, true, start + 3s);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->answered, 2u);
  EXPECT_EQ(done->took, 3s);
  EXPECT_EQ(done->backend, 2u);
  EXPECT_EQ(ledger.open(), 0u);
}

TEST(BatchLedger, IgnoresWhatItWasNotToldOf) {
  BatchLedger ledger;
  EXPECT_FALSE(ledger.completed(1, 1, true, TimePoint{}));
}

}  // namespace
}  // namespace batchproxy
