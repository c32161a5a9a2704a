// Crashes on purpose, in the way that the first byte of the input chooses,
// when "BOOM!" stands anywhere in it. For replay_main_test.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string input(reinterpret_cast<const char*>(bytes), size);
  if (input.find("BOOM!") == std::string::npos) return 0;
  if (input[0] != 's') std::abort();
  *reinterpret_cast<volatile int*>(size - size) = 1;
  return 0;
}
