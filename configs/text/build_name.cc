// configs/text/build_name.cc - see build_name.h.
#include "configs/text/build_name.h"

#include "batchproxy_commit.h"

namespace batchproxy {

namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " + std::to_string(__clang_major__) + '.' + std::to_string(__clang_minor__) + '.' +
         std::to_string(__clang_patchlevel__);
#else
  return "g++ " + std::to_string(__GNUC__) + '.' + std::to_string(__GNUC_MINOR__) + '.' +
         std::to_string(__GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

std::string build_commit() {
  return kCommit;
}

std::string build_name() {
  return std::string(BATCHPROXY_VERSION) + ", commit " + kCommit + ", " + BATCHPROXY_BUILD_KIND +
         " build by " + compiler();
}

}  // namespace batchproxy
