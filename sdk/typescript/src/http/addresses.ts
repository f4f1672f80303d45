/** The address of a service and its key: what may be given, and where a key may travel without TLS. */

import { NotConfigured } from "./errors.js";

export const API = "/api/v1";

/** The address without /api/v1 and without a slash at its end. Throws NotConfigured. */
export function baseUrl(text: string, allowHttp: boolean): string {
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    throw new NotConfigured(`${shown(text)} is no address of a service: give one such as https://tasks.example.org.`);
  }
  if (!/^https?:$/.test(url.protocol)) {
    throw new NotConfigured(`${shown(text)} is no address of a service: it begins with https://, or with http:// on this machine.`);
  }
  if (url.username || url.password) {
    throw new NotConfigured(`An address must not hold a name or a password: give ${url.protocol}//${url.host} and a key.`);
  }
  if (url.search || url.hash) {
    throw new NotConfigured(`${shown(text)} has a ? or a #, which an address of a service does not have: leave it out.`);
  }
  if (url.protocol === "http:" && !allowHttp && !isLoopback(url.hostname)) {
    throw new NotConfigured(
      `${url.origin} is another machine, and without TLS everybody on the way can read the key: ` +
        `give https://${url.host}, or allowHttp: true where the network is yours alone.`,
    );
  }
  const path = url.pathname.replace(/\/+$/, "");
  return url.origin + (path.endsWith(API) ? path.slice(0, -API.length) : path).replace(/\/+$/, "");
}

/** Whether a host of a URL is this machine itself. */
export function isLoopback(host: string): boolean {
  return /^(localhost\.?|127(\.\d{1,3}){3}|\[::1\])$/.test(host); // URL writes 127.1 and 0x7f.1 out
}

/** The key, as it may stand in a header. Throws NotConfigured, without repeating it. */
export function checkedKey(key: string): string {
  if (!/^[\x21-\x7e]+$/.test(key.trim())) {
    throw new NotConfigured("This is no API key: a key is one word, and begins with tl_.");
  }
  return key.trim();
}

function shown(text: string): string {
  return JSON.stringify(text.slice(text.lastIndexOf("@") + 1)).slice(0, 200); // without what might be a password
}
