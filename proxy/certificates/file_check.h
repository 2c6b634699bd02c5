// proxy/certificates/file_check.h - looks at the files that a configuration names for TLS and for
// the access log, for `batchproxy check`: a start would meet the same.
//
// Threading: any thread; it reads files.
#pragma once

#include <vector>

#include "backends/net/certificate.h"
#include "configs/schema/options.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

// What is wrong with them at `now`, at the place of the key that names each.
std::vector<Diagnostic> check_files(const Options& options, WallTime now);

}  // namespace batchproxy
