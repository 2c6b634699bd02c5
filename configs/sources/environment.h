// configs/sources/environment.h - variables of a process, by name.
//
// Threading: plain values.
#pragma once

#include <map>
#include <string>

namespace batchproxy {

using Environment = std::map<std::string, std::string>;

// All variables of our own process.
Environment process_environment();

}  // namespace batchproxy
