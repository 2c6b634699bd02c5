// tests/backends/addresses_test.cc - which address is tried when, and for how long.
#include "backends/names/addresses.h"

#include <initializer_list>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using namespace std::chrono_literals;

asio::ip::tcp::endpoint at(const std::string& address) {
  return {asio::ip::make_address(address), 8000};
}

Addresses all(std::initializer_list<const char*> texts) {
  Addresses addresses;
  for (const char* text : texts) addresses.push_back(at(text));
  return addresses;
}

TEST(Addresses, AreInOrderOnceEachWithThoseOfIPv4First) {
  EXPECT_EQ(in_order(all({"::1", "10.0.0.2", "::1", "10.0.0.1", "10.0.0.2"})),
            all({"10.0.0.2", "10.0.0.1", "::1"}));
  EXPECT_EQ(in_order({}), Addresses());
}

TEST(Addresses, AreTheSameInAnyOrder) {
  EXPECT_TRUE(same_addresses(all({"10.0.0.1", "10.0.0.2"}), all({"10.0.0.2", "10.0.0.1"})));
  EXPECT_TRUE(same_addresses({}, {}));
  EXPECT_FALSE(same_addresses(all({"10.0.0.1"}), {}));
  EXPECT_FALSE(same_addresses(all({"10.0.0.1"}), all({"10.0.0.2"})));
  EXPECT_FALSE(same_addresses(all({"10.0.0.1"}), all({"10.0.0.1", "10.0.0.2"})));
}

TEST(Addresses, BeginWithTheOneThatWorked) {
  const Addresses three = all({"10.0.0.1", "10.0.0.2", "10.0.0.3"});
  EXPECT_EQ(beginning_with(at("10.0.0.3"), three), all({"10.0.0.3", "10.0.0.1", "10.0.0.2"}));
  EXPECT_EQ(beginning_with(at("10.0.0.1"), three), three);
  EXPECT_EQ(beginning_with(at("10.0.0.9"), three), three) << "it has gone";
  EXPECT_EQ(beginning_with({}, {}), Addresses());
}

TEST(Addresses, ShareTheTimeForConnecting) {
  EXPECT_EQ(share_of(2s, 1), 2s);
  EXPECT_EQ(share_of(2s, 2), 1s);
  EXPECT_EQ(share_of(2s, 4), 500ms);
  EXPECT_EQ(share_of(2s, 100), 250ms) << "less would be in vain";
  EXPECT_EQ(share_of(100ms, 4), 100ms);
  EXPECT_LT(share_of(-1s, 2), 0s);
}

TEST(Addresses, AreToldWithoutTheirPorts) {
  EXPECT_EQ(to_string(all({"127.0.0.2", "::1"})), "127.0.0.2, ::1");
  EXPECT_EQ(to_string(Addresses()), "");
}

}  // namespace
}  // namespace batchproxy
