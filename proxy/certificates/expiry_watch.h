// proxy/certificates/expiry_watch.h - ExpiryWatch: when to warn that our own certificate ends.
//
// It decides and does nothing else: the time is given, and whoever asks says it.
//
// Threading: confined to one thread.
#pragma once

#include <chrono>
#include <string>

#include "backends/net/certificate.h"

namespace batchproxy {

// What is wrong with the time of a certificate at `now`: that it has ended, has not begun, or ends
// within 14 days; empty when it is fine. It goes on from "the certificate in FILE".
std::string expiry_problem(const CertificateFacts& certificate, WallTime now);

// Why `next` may not take the place of `used`: clients take this one now, and would refuse the
// other. Empty when it may.
std::string why_not_replaced(const CertificateFacts& used, const CertificateFacts& next,
                             WallTime now);

class ExpiryWatch {
 public:
  static constexpr auto kAgain = std::chrono::hours(24);

  // What to warn of now; empty when there is nothing new to say. The same is said once a day, and
  // about another certificate at once.
  std::string look(const CertificateFacts& own, WallTime now);

 private:
  WallTime told_of_{};  // the end of the certificate that it was
  WallTime told_{};
};

}  // namespace batchproxy
