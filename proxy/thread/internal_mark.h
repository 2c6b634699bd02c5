// proxy/thread/internal_mark.h - InternalMark: how the data path knows requests of our own, which
// the service of batches sends to the data address like any client.
//
// The mark is a field with a secret of this process, which never leaves it but over loopback. Its
// requests need no API key, are a client for each batch, and let all other clients go first.
//
// Threading: immutable once made, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

class InternalMark {
 public:
  static constexpr std::string_view kField = "x-batchproxy-internal";

  InternalMark();  // a new secret

  // The field's value for requests on behalf of `who`.
  std::string value_for(std::string_view who) const;
  // `who` of a field's value; nothing when the value is not ours. Takes the same time whichever it
  // is.
  std::optional<std::string_view> who_in(std::string_view value) const;

 private:
  std::string secret_;
};

}  // namespace batchproxy
