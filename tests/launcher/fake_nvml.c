/* tests/launcher/fake_nvml.c - stands in for libnvidia-ml.so.1; the environment says what it sees. */
#include <stdlib.h>

static int number(const char* name) {
  const char* text = getenv(name);
  return text ? atoi(text) : 0;
}

int nvmlInit_v2(void) { return number("FAKE_NVML_INIT"); }

int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = (unsigned int)number("FAKE_NVML_COUNT");
  return 0;
}

int nvmlShutdown(void) { return 0; }
