// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What the options of kvbm-eventd come to, where it cannot be seen from outside
 * without several registries.
 */
#include "../engine/tap.h"
#include "options.h"

static void nth_is(const char *endpoint, unsigned int n, const char *wanted)
{
	char *got = nth_endpoint(endpoint, n);

	if (!got != !wanted || (got && strcmp(got, wanted)))
		tap_fail(__FILE__, __LINE__, "%s, number %u: %s, not %s", endpoint, n, got,
			 wanted);
	free(got);
}

/* As vLLM's ranks: a port or a name for each. */
static void endpoints_of_registries(void)
{
	nth_is("tcp://*:5557", 0, "tcp://*:5557");
	nth_is("tcp://*:5557", 3, "tcp://*:5560");
	nth_is("@tcp://127.0.0.1:5557", 1, "@tcp://127.0.0.1:5558");
	nth_is("tcp://[::]:5557", 2, "tcp://[::]:5559");
	nth_is("ipc:///run/events", 1, "ipc:///run/events_dp1");
	nth_is("ipc:///run/events", 0, "ipc:///run/events");
	nth_is("nats://127.0.0.1:4222", 5, "nats://127.0.0.1:4222");
	nth_is("tcp://*:65535", 0, "tcp://*:65535");
	nth_is("tcp://*:65535", 1, NULL);
	nth_is("tcp://host", 1, NULL);
	nth_is("tcp://host:name", 1, NULL);
}

static void defaults(void)
{
	char *argv[9] = {
		"kvbm-eventd", "--registry=a", "-r", "b", "--vllm=tcp://*:5557",
		"--dynamo=nats://h:1", "--namespace=a.b", "--instance-id=00-ff", NULL
	};
	static struct options options;

	parse_options(8, argv, &options);
	EXPECT_EQ(options.nr_registries, 2);
	EXPECT_EQ(options.nr_outputs, 2);
	EXPECT_EQ(options.outputs[0].form, FORM_VLLM);
	EXPECT_EQ(options.outputs[1].form, FORM_DYNAMO);
	EXPECT_EQ(options.window_ns, 10000000);
	EXPECT_EQ(options.max_batch, 1024);
	EXPECT_EQ(options.policy.kind, KVBM_EVENTS_ALL);
	EXPECT(options.fixed_instance);
	EXPECT_EQ(options.instance[15], 0xff);
	EXPECT_EQ(options.instance[14], 0);
	EXPECT(!strcmp(options.subject, "kvbm.events"));
	EXPECT(!strcmp(options.dynamo_subject,
		       "namespace.a%2Eb.component.backend.kv-events"));
	free_options(&options);
}

static const struct tap_test tests[] = {
	TEST(endpoints_of_registries),
	TEST(defaults),
};

int main(void)
{
	return tap_run(tests, sizeof(tests) / sizeof(*tests));
}
