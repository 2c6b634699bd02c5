// tests/proxy/trace_context_test.cc - which `traceparent` is one, and what goes on to engines.
#include "proxy/wire/trace_context.h"

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

const std::string kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, PutsOurSpanInPlaceOfItsParent) {
  const auto context = read_traceparent(kParent, 0xabc);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(context->parent_span(), "00f067aa0ba902b7");
  EXPECT_EQ(context->line,
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01\r\n");
}

TEST(TraceContext, NeverHasASpanOfZeros) {
  EXPECT_EQ(read_traceparent(kParent, 0)->span_number, 1u);
}

TEST(TraceContext, ReadsWhatItKnowsOfALaterVersion) {
  const auto context = read_traceparent("cc" + kParent.substr(2) + "-what-comes", 1);
  ASSERT_TRUE(context);
  EXPECT_TRUE(context->line.starts_with("traceparent: 00-4bf9"));
}

TEST(TraceContext, IsNoneWhereTheStandardIsBroken) {
  for (const std::string& broken :
       {std::string(), std::string("00"), kParent.substr(0, 54), kParent + "-more", kParent + "0",
        "ff" + kParent.substr(2), "0G" + kParent.substr(2),
        std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
        std::string("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}) {
    EXPECT_FALSE(read_traceparent(broken, 1)) << broken;
  }
}

}  // namespace
}  // namespace batchproxy
