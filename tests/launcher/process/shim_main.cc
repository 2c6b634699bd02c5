// tests/launcher/process/shim_main.cc - a program that is nothing but the shim, in place of
// batchproxy.
#include "launcher/process/shim.h"

int main(int argc, char** argv) {
  return batchproxy::run_shim(argc - 1, argv + 1);
}
