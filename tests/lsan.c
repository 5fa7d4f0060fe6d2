/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of every test program that is built with AddressSanitizer: Criterion's runner, when it
 * runs cases in parallel, sometimes ends with a block of its own that it has not freed.
 */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libcriterion.so\n";
}
