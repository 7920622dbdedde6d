// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <kvbm/kvbm.h>

#include "connect.h"
#include "say.h"

int connect_to(const char *uri, struct kvbm **out)
{
	int err = kvbm_open(uri, out);

	return err ? say_err(err, "%s", uri) : 0;
}
