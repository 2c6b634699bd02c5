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
  EXPECT_EQ(context->span_number, 0xabcu);
  EXPECT_EQ(context->line_of(0xdef),
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000def-01\r\n");
}

TEST(TraceContext, NeverHasASpanOfZeros) {
  EXPECT_EQ(read_traceparent(kParent, 0)->span_number, 1u);
}

TEST(TraceContext, ReadsWhatItKnowsOfALaterVersion) {
  const auto context = read_traceparent("cc" + kParent.substr(2) + "-what-comes", 1);
  ASSERT_TRUE(context);
  EXPECT_TRUE(context->line_of(1).starts_with("traceparent: 00-4bf9"));
}

TEST(TraceContext, BeginsATraceOfItsOwn) {
  const TraceContext one = begin_trace(7), other = begin_trace(8);
  EXPECT_EQ(one.parent.size(), kParent.size());
  EXPECT_TRUE(is_no_span(one.parent_span()));
  EXPECT_TRUE(is_sampled(one.parent));
  EXPECT_NE(one.trace_id(), other.trace_id());
  EXPECT_EQ(one.trace_id(), begin_trace(7).trace_id());
  EXPECT_TRUE(read_traceparent(one.line_of(7).substr(13, 55), 1)) << "what an engine gets is one";
}

TEST(TraceContext, HasASpanForEachAttempt) {
  const TimePoint then{std::chrono::seconds(1)};
  const std::uint64_t span = attempt_span(7, then, 3);
  EXPECT_EQ(attempt_span(7, then, 3), span);
  EXPECT_NE(attempt_span(8, then, 3), span);
  EXPECT_NE(attempt_span(7, then + Duration(1), 3), span);
  EXPECT_NE(attempt_span(7, then, 4), span);
}

TEST(TraceContext, KnowsWhatIsToBeKept) {
  EXPECT_TRUE(is_sampled(kParent));
  EXPECT_TRUE(is_sampled(kParent.substr(0, 53) + "0b"));
  EXPECT_FALSE(is_sampled(kParent.substr(0, 53) + "00"));
  EXPECT_FALSE(is_sampled(kParent.substr(0, 53) + "fe"));
  EXPECT_FALSE(is_sampled(""));
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
