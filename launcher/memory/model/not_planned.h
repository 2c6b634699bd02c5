// launcher/memory/model/not_planned.h - a value, or the sentence that says why nothing is planned.
//
// A model that cannot be planned is started all the same: nothing here stops an engine.
//
// Threading: plain values.
#pragma once

#include <string>

#include <boost/system/result.hpp>

namespace batchproxy {

struct NotPlanned {
  std::string reason;  // one sentence; names the file and the key where there are such
};

// A text is returned by `{boost::system::in_place_value, text}`: by itself it might be a reason.
template <class T>
using Planned = boost::system::result<T, NotPlanned>;

}  // namespace batchproxy
