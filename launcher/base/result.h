// launcher/base/result.h - a value, or the sentence that tells the operator what to do instead.
//
// Threading: plain values.
#pragma once

#include <string>

#include <boost/system/result.hpp>

namespace batchproxy {

struct LaunchError {
  std::string text;
};

template <class T>
using OrError = boost::system::result<T, LaunchError>;

}  // namespace batchproxy
