// proxy/certificates/expiry_watch.cc - see expiry_watch.h.
#include "proxy/certificates/expiry_watch.h"

#include <fmt/format.h>

namespace batchproxy {

namespace {

constexpr auto kSoon = std::chrono::days(14);
constexpr auto kDay = std::chrono::hours(24);

std::string in_days(std::chrono::system_clock::duration left) {
  const auto days = left / kDay;
  if (days == 0) return "in less than a day";
  return fmt::format("in {} day{}", days, days == 1 ? "" : "s");
}

bool is_valid(const CertificateFacts& certificate, WallTime now) {
  return certificate.begins <= now && now < certificate.ends;
}

}  // namespace

std::string expiry_problem(const CertificateFacts& certificate, WallTime now) {
  const std::string whose =
      certificate.subject.empty() ? "" : fmt::format(" ({})", certificate.subject);
  if (now >= certificate.ends) {
    return fmt::format("expired on {}{}: renew it", day_of(certificate.ends), whose);
  }
  if (now < certificate.begins) {
    return fmt::format("is not valid before {}{}: clients refuse it until then",
                       day_of(certificate.begins), whose);
  }
  if (certificate.ends - now >= kSoon) return {};
  return fmt::format("expires {}, on {}{}: renew it", in_days(certificate.ends - now),
                     day_of(certificate.ends), whose);
}

std::string why_not_replaced(const CertificateFacts& used, const CertificateFacts& next,
                             WallTime now) {
  if (is_valid(next, now) || !is_valid(used, now)) return {};
  return expiry_problem(next, now);
}

std::string ExpiryWatch::look(const CertificateFacts& own, WallTime now) {
  const bool is_told = told_of_ == own.ends && now - told_ < kAgain;
  if (is_told) return {};
  std::string problem = expiry_problem(own, now);
  if (problem.empty()) return {};
  told_of_ = own.ends;
  told_ = now;
  return problem;
}

}  // namespace batchproxy
