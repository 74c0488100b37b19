// SPDX-License-Identifier: Apache-2.0
//
// 17-acme-client.mjs: what a user of npm's acme-client writes: 17-acme-client.mjs COMMAND. Everything else comes from the
// environment: DIRECTORY, CHALLENGES (folder of a web server), DNS_HOOK (present|cleanup NAME VALUE), STATE (folder).
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const { DIRECTORY, CHALLENGES, DNS_HOOK, STATE, NODE_CLIENTS } = process.env;
const acme = createRequire(join(NODE_CLIENTS, 'package.json'))('acme-client');
const file = (name) => join(STATE, name);
const read = (name) => readFileSync(file(name));

function client(extra = {}) {
	const url = existsSync(file('account.url')) ? read('account.url').toString() : undefined;
	// 500 ms instead of its 5 s between two looks at a challenge that is being validated
	return new acme.Client({ directoryUrl: DIRECTORY, accountKey: read('account.key'), accountUrl: url, backoffMin: 500,
		...extra });
}

function keepAccount(c) {
	writeFileSync(file('account.url'), c.getAccountUrl());
}

function dns(what, authz, keyAuthorization) {
	execFileSync(DNS_HOOK, [what, `_acme-challenge.${authz.identifier.value}`, keyAuthorization]);
}

async function obtain(c, name, altNames, extra = {}) {
	const [key, csr] = await acme.crypto.createCsr({ commonName: name, altNames });
	const certificate = await c.auto({
		csr,
		email: 'acme-client@e2e.test',
		termsOfServiceAgreed: true,
		skipChallengeVerification: true, // it would ask port 80
		challengePriority: ['http-01', 'dns-01'],
		challengeCreateFn: async (authz, challenge, keyAuthorization) =>
			challenge.type === 'http-01'
				? writeFileSync(join(CHALLENGES, challenge.token), keyAuthorization)
				: dns('present', authz, keyAuthorization),
		challengeRemoveFn: async (authz, challenge, keyAuthorization) =>
			challenge.type === 'http-01'
				? rmSync(join(CHALLENGES, challenge.token))
				: dns('cleanup', authz, keyAuthorization),
		...extra,
	});
	writeFileSync(file(`${name}.key`), key);
	writeFileSync(file(`${name}.pem`), certificate);
	keepAccount(c);
}

const commands = {
	async register(kid, hmacKey) {
		writeFileSync(file('account.key'), await acme.crypto.createPrivateEcdsaKey());
		const c = client(kid ? { externalAccountBinding: { kid, hmacKey } } : {});
		await c.createAccount({ termsOfServiceAgreed: true, contact: ['mailto:acme-client@e2e.test'] });
		keepAccount(c);
	},
	async obtain(name, ...altNames) {
		await obtain(client(), name, altNames);
	},
	async update(mail) {
		await client().updateAccount({ contact: [`mailto:${mail}`] });
	},
	async dns(name, ...altNames) {
		await obtain(client(), name, altNames, { challengePriority: ['dns-01'] });
	},
	async rollover() {
		const key = await acme.crypto.createPrivateEcdsaKey();
		const c = client();
		await c.updateAccountKey(key);
		writeFileSync(file('old.key'), read('account.key'));
		writeFileSync(file('account.key'), key);
		await c.updateAccount({}); // the same object goes on with the new key
	},
	async oldKey() {
		await client({ accountKey: read('old.key') }).updateAccount({});
	},
	async rolloverTo(name) {
		await client().updateAccountKey(read(name));
	},
	async revoke(name, reason) {
		await client().revokeCertificate(read(`${name}.pem`), { reason: Number(reason) });
	},
	async deactivate() {
		await client().updateAccount({ status: 'deactivated' });
	},
};

const [command, ...args] = process.argv.slice(2);
try {
	await commands[command](...args);
} catch (error) {
	console.error(error.message);
	process.exitCode = 1;
}
