// SPDX-License-Identifier: Apache-2.0
//
// 17-acme-client.mjs: what a user of npm's acme-client writes: 17-acme-client.mjs COMMAND. Everything else comes from the
// environment: DIRECTORY, CHALLENGES (folder of a web server), STATE (folder).
import { createRequire } from 'node:module';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const { DIRECTORY, CHALLENGES, STATE, NODE_CLIENTS } = process.env;
const acme = createRequire(join(NODE_CLIENTS, 'package.json'))('acme-client');
const file = (name) => join(STATE, name);
const read = (name) => readFileSync(file(name));

function client(extra = {}) {
	const url = existsSync(file('account.url')) ? read('account.url').toString() : undefined;
	return new acme.Client({ directoryUrl: DIRECTORY, accountKey: read('account.key'), accountUrl: url, ...extra });
}

function keepAccount(c) {
	writeFileSync(file('account.url'), c.getAccountUrl());
}

async function obtain(c, name, altNames, extra = {}) {
	const [key, csr] = await acme.crypto.createCsr({ commonName: name, altNames });
	const certificate = await c.auto({
		csr,
		email: 'acme-client@e2e.test',
		termsOfServiceAgreed: true,
		skipChallengeVerification: true, // it would ask port 80
		challengePriority: ['http-01'],
		challengeCreateFn: async (authz, challenge, keyAuthorization) =>
			writeFileSync(join(CHALLENGES, challenge.token), keyAuthorization),
		challengeRemoveFn: async (authz, challenge) => rmSync(join(CHALLENGES, challenge.token)),
		...extra,
	});
	writeFileSync(file(`${name}.key`), key);
	writeFileSync(file(`${name}.pem`), certificate);
	keepAccount(c);
}

const commands = {
	async register() {
		writeFileSync(file('account.key'), await acme.crypto.createPrivateEcdsaKey());
		const c = client();
		await c.createAccount({ termsOfServiceAgreed: true, contact: ['mailto:acme-client@e2e.test'] });
		keepAccount(c);
	},
	async obtain(name, ...altNames) {
		await obtain(client(), name, altNames);
	},
	async update(mail) {
		await client().updateAccount({ contact: [`mailto:${mail}`] });
	},
	async rollover() {
		const key = await acme.crypto.createPrivateEcdsaKey();
		await client().updateAccountKey(key);
		writeFileSync(file('account.key'), key);
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
