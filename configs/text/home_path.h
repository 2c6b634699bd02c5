// configs/text/home_path.h - "~/logs" as a shell would read it: no shell reads what stands in a
// file.
//
// Threading: any thread, as long as nobody changes HOME.
#pragma once

#include <string>

namespace batchproxy {

// `path` with a leading "~" replaced by $HOME. "~name" stays as it is.
std::string with_home(std::string path);

}  // namespace batchproxy
