/* SPDX-License-Identifier: Apache-2.0
 *
 * floor.c: what one certificate costs any server in OpenSSL alone, on this machine, now: six ES256 verifications of
 * signed requests, one of the CSR, one signature. Prints CPU microseconds; bench/run.sh divides by it. With --parts: the
 * sum, one verification, one signature.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 500
#define VERIFIES 7

static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int ok, const char *what)
{
	if (ok == 1)
		return;
	(void)fprintf(stderr, "floor: %s failed\n", what);
	exit(1);
}

static size_t sign(EVP_PKEY *key, const EVP_MD *md, const unsigned char *in, size_t n, unsigned char *out, size_t max)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	must(EVP_DigestSignInit(ctx, NULL, md, NULL, key), "sign init");
	must(EVP_DigestSign(ctx, out, &max, in, n), "sign");
	EVP_MD_CTX_free(ctx);
	return max;
}

static void verify(EVP_PKEY *key, const EVP_MD *md, const unsigned char *in, size_t n, const unsigned char *sig,
		   size_t sig_n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	must(EVP_DigestVerifyInit(ctx, NULL, md, NULL, key), "verify init");
	must(EVP_DigestVerify(ctx, sig, sig_n, in, n), "verify");
	EVP_MD_CTX_free(ctx);
}

int main(int argc, char **argv)
{
	unsigned char in[700] = { 1 }, sig[160];
	double signing = 0, verifying = 0;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(key != NULL && md != NULL, "set-up");
	size_t sig_n = sign(key, md, in, sizeof in, sig, sizeof sig);
	for (int i = 0; i < ROUNDS; i++) {
		double began = cpu_us();
		for (int v = 0; v < VERIFIES; v++)
			verify(key, md, in, sizeof in, sig, sig_n);
		double between = cpu_us();
		sig_n = sign(key, md, in, sizeof in, sig, sizeof sig);
		signing += cpu_us() - between;
		verifying += between - began;
	}
	if (argc == 2 && strcmp(argv[1], "--parts") == 0)
		printf("%.1f %.1f %.1f\n", (verifying + signing) / ROUNDS, verifying / VERIFIES / ROUNDS,
		       signing / ROUNDS);
	else
		printf("%.1f\n", (verifying + signing) / ROUNDS);
	EVP_MD_free(md);
	EVP_PKEY_free(key);
	return 0;
}
