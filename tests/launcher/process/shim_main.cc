// tests/launcher/process/shim_main.cc - a program that is nothing but the shim and the guard, in
// place of batchproxy.
#include <string_view>

#include "launcher/process/group_guard.h"
#include "launcher/process/shim.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "group-guard") {
    return batchproxy::run_group_guard(argc - 1, argv + 1);
  }
  return batchproxy::run_shim(argc - 1, argv + 1);
}
