// tests/proxy/expiry_watch_test.cc - when our own certificate's end is told, and how.
#include "proxy/certificates/expiry_watch.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using std::chrono::days;
using std::chrono::hours;

const WallTime kNow{std::chrono::sys_days{std::chrono::year{2026} / 11 / 29} + hours(12)};

CertificateFacts ends_in(std::chrono::system_clock::duration left) {
  return {"CN=x", kNow - days(300), kNow + left};
}

TEST(ExpiryWatch, SaysWhatIsWrongWithTheTimeOfACertificate) {
  EXPECT_EQ(expiry_problem(ends_in(days(14)), kNow), "");
  EXPECT_EQ(expiry_problem(ends_in(days(14) - hours(1)), kNow),
            "expires in 13 days, on 2026-12-13 (CN=x): renew it");
  EXPECT_EQ(expiry_problem(ends_in(hours(25)), kNow),
            "expires in 1 day, on 2026-11-30 (CN=x): renew it");
  EXPECT_EQ(expiry_problem(ends_in(hours(1)), kNow),
            "expires in less than a day, on 2026-11-29 (CN=x): renew it");
  EXPECT_EQ(expiry_problem(ends_in(hours(0)), kNow), "expired on 2026-11-29 (CN=x): renew it");
  EXPECT_EQ(expiry_problem({"", kNow + days(1), kNow + days(90)}, kNow),
            "is not valid before 2026-11-30: clients refuse it until then");
}

TEST(ExpiryWatch, KeepsACertificateThatIsValidFromOneThatIsNot) {
  const CertificateFacts valid = ends_in(days(30)), expired = ends_in(-days(1));
  const CertificateFacts later{"", kNow + days(1), kNow + days(90)};
  EXPECT_EQ(why_not_replaced(valid, expired, kNow), expiry_problem(expired, kNow));
  EXPECT_EQ(why_not_replaced(valid, later, kNow), expiry_problem(later, kNow));
  EXPECT_EQ(why_not_replaced(valid, ends_in(days(1)), kNow), "");
  EXPECT_EQ(why_not_replaced(expired, expired, kNow), "") << "nothing is worse than before";
  EXPECT_EQ(why_not_replaced(expired, valid, kNow), "");
}

TEST(ExpiryWatch, WarnsOnceADay) {
  ExpiryWatch watch;
  const CertificateFacts own = ends_in(days(20));
  EXPECT_EQ(watch.look(own, kNow), "");
  const WallTime soon = kNow + days(7);
  EXPECT_NE(watch.look(own, soon), "");
  EXPECT_EQ(watch.look(own, soon + std::chrono::seconds(1)), "");
  EXPECT_EQ(watch.look(own, soon + hours(24) - std::chrono::seconds(1)), "");
  EXPECT_NE(watch.look(own, soon + hours(24)), "");
}

TEST(ExpiryWatch, TellsOfAnotherCertificateAtOnce) {
  ExpiryWatch watch;
  EXPECT_NE(watch.look(ends_in(days(3)), kNow), "");
  EXPECT_EQ(watch.look(ends_in(days(90)), kNow + hours(1)), "") << "renewed";
  EXPECT_NE(watch.look(ends_in(days(2)), kNow + hours(2)), "") << "and taken back";
}

}  // namespace
}  // namespace batchproxy
