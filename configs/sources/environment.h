// configs/sources/environment.h - variables of a process, by name.
//
// Threading: plain values.
#pragma once

#include <map>
#include <string>

namespace batchproxy {

using Environment = std::map<std::string, std::string>;

}  // namespace batchproxy
