// configs/sources/usual_places.h - where a configuration is looked for that nobody has named.
//
// Threading: any thread; no state.
#pragma once

#include <string>
#include <vector>

#include "configs/sources/environment.h"

namespace batchproxy {

// The first that exists counts: here, the user's own, and the machine's.
std::vector<std::string> usual_places(const Environment& environment);

}  // namespace batchproxy
