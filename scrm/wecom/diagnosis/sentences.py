"""What each code says: how grave, what was seen, and the menu of WeCom's console or the setting that puts it right."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from scrm.wecom.diagnosis.findings import ERROR, OK, WARNING, Sentence, say

_CREDENTIALS = {
    "credentials.ok": Sentence(OK, _("WeCom gives “%(subject)s” an access token: corp id and secret belong together.")),
    "credentials.wrong_secret": Sentence(
        ERROR, _("WeCom does not accept the secret of “%(subject)s” (40001)."),
        _("Copy the Secret again in WeCom's console (%(menu)s → Secret) and replace it here under WeCom apps. Do not try wrong ones over and over: WeCom blocks the server's IP for an hour. A secret just replaced is asked at once, the same one after five minutes."),
    ),
    "credentials.wrong_corp": Sentence(
        ERROR, _("WeCom does not know the corp id %(corp_id)s (40013)."),
        _("Compare it with WeCom's console (My company → Company information → Corp id), add the right corp here under WeCom corps, and its apps below it."),
    ),
    "credentials.foreign_secret": Sentence(
        ERROR, _("The secret of “%(subject)s” belongs to another corp than %(corp_id)s (40091)."),
        _("Log in to the console of this very corp, copy the Secret there (%(menu)s → Secret) and replace it here under WeCom apps."),
    ),
    "credentials.disabled": Sentence(
        ERROR, _("“%(subject)s” is disabled on WeCom (%(errcode)s)."),
        _("Enable it in WeCom's console: %(menu)s → Enabled."),
    ),
    "credentials.weak_secret": Sentence(
        ERROR, _("WeCom finds the secret of “%(subject)s” too weak (45031)."),
        _("Reset it in WeCom's console (%(menu)s → Secret) and replace it here under WeCom apps."),
    ),
    "credentials.banned": Sentence(
        ERROR, _("WeCom gives “%(subject)s” no token because there were too many requests or wrong secrets from this server (45009)."),
        _("Put the secret right first, then wait an hour; nothing else lifts the block."),
    ),
    "credentials.agent": Sentence(
        ERROR, _("The agent id %(agent_id)s does not belong to the secret of “%(subject)s” (%(errcode)s); app messages cannot be sent."),
        _("Compare the AgentId in WeCom's console (%(menu)s → AgentId) with the one here under WeCom apps; if it is another, add the app anew."),
    ),
    "credentials.refused": Sentence(
        ERROR, _("WeCom gives “%(subject)s” no access token (error %(errcode)s)."),
        _("Look the number up at https://open.work.weixin.qq.com/devtool/query?e=%(errcode)s and check the app in WeCom's console: %(menu)s."),
    ),
    "app.no_self_built": Sentence(
        ERROR, _("“%(subject)s” has no self-built app here: customers, groups and messages cannot be read or sent."),
        _("Create one in WeCom's console (App management → Apps → Self-built → Create app) and enter its AgentId and Secret here under WeCom apps."),
    ),
    "app.no_contact_sync": Sentence(
        WARNING, _("“%(subject)s” has no contact-sync secret here: the complete list of accounts and leavers are not read."),
        _("In WeCom's console switch Management tools → Contact sync on, take its Secret and add it here under WeCom apps as contact sync."),
    ),
    "app.no_mini_program": Sentence(
        WARNING, _("“%(subject)s” has no mini-program here: guides cannot log in with the mini-program."),
        _("Link the mini-program in WeCom's console (App management → Mini-programs → Link) and enter its AgentId and Secret here under WeCom apps. If guides do not use one, leave it."),
    ),
}  # fmt: skip
_NETWORK = {
    "wecom.unreachable": Sentence(
        ERROR, _("WeCom cannot be reached from this server (%(detail)s)."),
        _("Check DNS, firewall and outgoing proxy of the server: qyapi.weixin.qq.com:443 must be open. If you use a proxy of your own, check the setting WECOM_API_BASE."),
    ),
    "wecom.unreadable": Sentence(
        ERROR, _("What answered “%(subject)s” is not WeCom: no answer in its form."),
        _("Something stands between the server and WeCom (a proxy's page, a captive portal). Check the outgoing proxy and the setting WECOM_API_BASE."),
    ),
    "wecom.late": Sentence(
        WARNING, _("The time for this check ran out before “%(subject)s” had been asked about everything."),
        _("Check again later; if it happens again, look at how fast the server reaches qyapi.weixin.qq.com."),
    ),
    "ip.ok": Sentence(OK, _("WeCom accepts calls of “%(subject)s” from this server's IP address.")),
    "ip.untrusted": Sentence(
        ERROR, _("WeCom refuses “%(subject)s” because the server's IP address %(ip)s is not trusted (60020)."),
        _("Add %(ip)s in WeCom's console (%(menu)s → Trusted IPs of the company); it takes effect about a minute later."),
    ),
}  # fmt: skip
_PERMISSIONS = {
    "permission.ok": Sentence(OK, _("“%(subject)s” may use: %(areas)s.")),
    "permission.missing_customers": Sentence(
        ERROR, _("“%(subject)s” has no permission for: %(areas)s (%(errcode)s)."),
        _("In WeCom's console open Customers and partners → Customer contact → Customers → API, and tick this app under Apps that may call. Until then these do not work: %(features)s."),
    ),
    "permission.missing_app": Sentence(
        ERROR, _("“%(subject)s” has no permission for: %(areas)s (%(errcode)s)."),
        _("In WeCom's console open %(menu)s and check the app's visible range and permissions. Until then these do not work: %(features)s."),
    ),
    "permission.missing_links": Sentence(
        WARNING, _("“%(subject)s” has no permission for: %(areas)s (%(errcode)s)."),
        _("In WeCom's console open Customers and partners → Customer contact → Acquisition assistant → API, and tick this app under Apps that may call. Until then these do not work: %(features)s. Leave it if you do not use the assistant."),
    ),
    "permission.missing_sync": Sentence(
        ERROR, _("“%(subject)s” has no permission for: %(areas)s (%(errcode)s)."),
        _("Only the secret of Management tools → Contact sync may read it: switch the API there on, take the Secret of that page and replace it here under WeCom apps. Until then these do not work: %(features)s."),
    ),
    "permission.missing_mini": Sentence(
        ERROR, _("“%(subject)s” is no app bound to a mini-program (%(errcode)s)."),
        _("In WeCom's console link the mini-program (App management → Mini-programs → Link) and enter the AgentId and Secret of that page. Until then these do not work: %(features)s."),
    ),
    "permission.ids_only": Sentence(
        WARNING, _("“%(subject)s” may read ids only, no names (48009): %(areas)s."),
        _("This is WeCom's rule for the contact sync. Names are read by the self-built app: check its visible range in App management → Apps → Self-built."),
    ),
    "permission.outside": Sentence(
        ERROR, _("“%(subject)s” may not see these members or departments (%(errcode)s): %(areas)s."),
        _("Widen the range in WeCom's console: %(menu)s → Visible range, so that it covers every store and guide."),
    ),
    "permission.refused": Sentence(
        WARNING, _("WeCom refused “%(subject)s” with the error %(errcode)s: %(areas)s."),
        _("Look the number up at https://open.work.weixin.qq.com/devtool/query?e=%(errcode)s. These may not work: %(features)s."),
    ),
    "links.off": Sentence(
        WARNING, _("The acquisition assistant is not open to this company (%(errcode)s)."),
        _("Apply for it in WeCom's console: Customers and partners → Customer contact → Acquisition assistant. Leave it if you do not use it."),
    ),
    "moments.off": Sentence(
        WARNING, _("Moments to customers are switched off (41211)."),
        _("Switch them on in WeCom's console: Customers and partners → Customer contact → Customer moments."),
    ),
    "followers.ok": Sentence(OK, _("%(count)s members have the customer contact feature and are visible to “%(subject)s”.")),
    "followers.none": Sentence(
        ERROR, _("“%(subject)s” sees no member with the customer contact feature: nobody's customers can be read."),
        _("In WeCom's console add the guides under Customers and partners → Customer contact → Permissions → Range of use, and to the app's visible range (App management → Apps → Self-built → the app → Visible range)."),
    ),
    "unionid.ok": Sentence(OK, _("%(known)s of %(asked)s WeChat customers asked about carry a unionid: the mini-program or Official Account is bound.")),
    "unionid.unknown": Sentence(OK, _("The member who was asked about has no WeChat customer yet, so whether unionids come cannot be seen.")),
    "unionid.none": Sentence(
        ERROR, _("None of %(asked)s WeChat customers asked about carries a unionid: contacts cannot be recognised as members."),
        _("In WeCom's console open Customers and partners → Customer contact → Customers → API → WeChat developer ID and bind the company's mini-program or Official Account; it must be of the same legal entity and bound to the WeChat Open Platform account."),
    ),
    "unionid.unbound": Sentence(
        ERROR, _("WeCom says that no WeChat developer ID is bound (41057): contacts carry no unionid and cannot be recognised as members."),
        _("In WeCom's console open Customers and partners → Customer contact → Customers → API → WeChat developer ID and bind the company's mini-program or Official Account; it must be of the same legal entity and bound to the WeChat Open Platform account."),
    ),
    "unionid.few": Sentence(
        WARNING, _("Only %(known)s of %(asked)s WeChat customers asked about carry a unionid."),
        _("Check that the mini-program or Official Account bound under Customers and partners → Customer contact → Customers → API → WeChat developer ID is the one your members use, and compare the contacts with WeCom again."),
    ),
}  # fmt: skip
_CALLBACKS = {
    "callback.ok": Sentence(OK, _("The callback “%(subject)s” answers the verification at %(url)s within %(milliseconds)s ms.")),
    "callback.none": Sentence(
        ERROR, _("“%(subject)s” has no callback here: new friends, leavers and groups are not heard of."),
        _("Add one under WeCom callbacks and enter its address and keys in WeCom's console: App management → Apps → Self-built → the app → Receive messages → Set up API receiving."),
    ),
    "callback.off": Sentence(
        WARNING, _("The callback “%(subject)s” is switched off here; what WeCom tells is refused."),
        _("Switch it on under WeCom callbacks."),
    ),
    "callback.no_address": Sentence(
        WARNING, _("The public address of this system is not known, so the callbacks could not be tried."),
        _("Set PUBLIC_URL to the address under which WeCom reaches this system, for example https://scrm.example.com, and restart."),
    ),
    "callback.only_here": Sentence(
        ERROR, _("The public address %(url)s is one of this machine or network; WeCom cannot reach it."),
        _("Set PUBLIC_URL to a domain that is reachable from the internet, and restart."),
    ),
    "callback.not_https": Sentence(
        WARNING, _("The public address %(url)s is not https."),
        _("Put a certificate on the domain and set PUBLIC_URL to its https address."),
    ),
    "callback.failed_name": Sentence(
        ERROR, _("The name in %(url)s cannot be resolved."), _("Check the domain in PUBLIC_URL and its DNS entry."),
    ),
    "callback.failed_refused": Sentence(
        ERROR, _("Nothing answers at %(url)s: the connection is refused."),
        _("Check that the web service and the proxy in front of it run and that the firewall lets WeCom in; check PUBLIC_URL."),
    ),
    "callback.failed_timeout": Sentence(
        ERROR, _("%(url)s does not answer in time; WeCom waits one second for the verification."),
        _("Check firewall and proxy in front of the web service, and that PUBLIC_URL is right."),
    ),
    "callback.failed_tls": Sentence(
        ERROR, _("The certificate of %(url)s is not valid."), _("Renew the certificate of the domain, with the complete chain."),
    ),
    "callback.redirected": Sentence(
        ERROR, _("%(url)s redirects to another address; WeCom does not follow."),
        _("Set PUBLIC_URL to the final address, https included, and enter that one in WeCom's console."),
    ),
    "callback.wrong_token": Sentence(
        ERROR, _("%(url)s does not accept the signature of “%(subject)s” (403): token and address do not belong together."),
        _("Check that PUBLIC_URL leads to this very system and the clock of the servers is right; then replace the keys of the callback under WeCom callbacks and enter the same Token in WeCom's console (Receive messages)."),
    ),
    "callback.wrong_key": Sentence(
        ERROR, _("%(url)s accepts the signature of “%(subject)s” but cannot decrypt the message (400)."),
        _("Replace the keys of the callback under WeCom callbacks and enter the same EncodingAESKey in WeCom's console (Receive messages); check the corp id."),
    ),
    "callback.wrong_answer": Sentence(
        ERROR, _("%(url)s answers with HTTP %(status)s instead of the verification."),
        _("Check that the proxy passes /wecom/callback/ on to this system unchanged, and that PUBLIC_URL is right."),
    ),
    "callback.wrong_body": Sentence(
        ERROR, _("%(url)s answers, but not with the text that was asked for."),
        _("Something in front of the system changes or answers the call: let the proxy pass /wecom/callback/ on unchanged, without login page or cache."),
    ),
    "callback.slow": Sentence(
        WARNING, _("%(url)s takes %(milliseconds)s ms to answer; WeCom waits one second."),
        _("Look at the load of the web service (WEB_WORKERS, WEB_THREADS) and the way through the proxy."),
    ),
    "callback.heard": Sentence(OK, _("WeCom last told something at “%(subject)s” %(age)s ago.")),
    "callback.never": Sentence(
        WARNING, _("WeCom has never told anything at the callback “%(subject)s”."),
        _("Save its address, Token and EncodingAESKey in WeCom's console: for customers App management → Apps → Self-built → the app → Receive messages, for the directory Management tools → Contact sync → Receive events. Then change a customer's remark and check again."),
    ),
    "callback.quiet": Sentence(
        WARNING, _("WeCom last told something at “%(subject)s” %(age)s ago."),
        _("If anything has happened since, save the address again in WeCom's console (the app → Receive messages); WeCom gives up on addresses that failed too often."),
    ),
}  # fmt: skip
_HERE = {
    "inbox.ok": Sentence(OK, _("WeCom's events are understood as they come; %(count)s are waiting.")),
    "inbox.late": Sentence(
        ERROR, _("%(count)s events of WeCom wait, the oldest for %(age)s."),
        _("Check that a worker and the beat run (docker compose ps, or the terminal of bin/up)."),
    ),
    "inbox.parked": Sentence(
        WARNING, _("%(count)s events of WeCom are parked: they could not be applied."),
        _("Look at WeCom → WeCom events, state “parked”, put right what the problem says and replay them."),
    ),
    "inbox.unknown": Sentence(OK, _("%(count)s events of WeCom are of kinds that nobody here listens to; they are kept.")),
    "outbox.ok": Sentence(OK, _("Messages to WeCom leave in time; %(count)s are waiting.")),
    "outbox.late": Sentence(
        ERROR, _("%(count)s messages to WeCom are overdue, the oldest for %(age)s."),
        _("Check that a worker and the beat run, and what the messages say under WeCom → Messages to WeCom."),
    ),
    "outbox.unknown": Sentence(
        WARNING, _("Of %(count)s messages it is unknown whether WeCom has done them."),
        _("Look at WeCom → Messages to WeCom, state “unknown whether done”: ask again, send again or cancel."),
    ),
    "outbox.refused": Sentence(
        WARNING, _("WeCom has refused %(count)s messages."),
        _("Look at WeCom → Messages to WeCom, state “refused”; put right what the problem says and send them again, or cancel."),
    ),
    "beat.ok": Sentence(OK, _("The clock runs: it last started the sweep of events %(age)s ago.")),
    "beat.new": Sentence(OK, _("The clock was set up %(age)s ago; it writes down what it ran every few minutes.")),
    "beat.stopped": Sentence(
        ERROR, _("The clock has started nothing for %(age)s: nothing that belongs to a time happens."),
        _("Start the beat process again (docker compose up -d beat, or bin/up)."),
    ),
    "beat.never": Sentence(
        ERROR, _("The clock has never started the sweep of events, or it is switched off."),
        _("Start the beat process (docker compose up -d beat, or bin/up) and look at System and records → Schedule."),
    ),
    "clock.behind": Sentence(
        WARNING, _("An event of WeCom happened %(age)s after it came, by this server's clock."),
        _("The clock of the server is behind: switch time synchronisation (NTP) on. Beyond ten minutes WeCom's calls are refused."),
    ),
    "check.failed": Sentence(
        WARNING, _("The check “%(subject)s” broke off with an error of its own (%(error)s)."),
        _("The log says more; report it to whoever maintains the system."),
    ),
}  # fmt: skip
_QUOTAS = {
    "quota.calls": Sentence(OK, _("%(count)s calls to WeCom today, most of them: %(top)s; WeCom allows %(most)s an hour of each.")),
    "quota.blocked": Sentence(
        WARNING, _("WeCom does not take more calls of “%(subject)s” for the moment: %(areas)s."),
        _("It goes on by itself when WeCom's window ends. If another system uses the same corp, spread its calls."),
    ),
    "quota.shut": Sentence(
        WARNING, _("WeCom has stopped %(subject)s for too many calls, until %(until)s."),
        _("It goes on by itself. If another system uses the same corp, spread its calls."),
    ),
    "quota.day_near": Sentence(
        WARNING, _("%(subject)s was called %(used)s times today; WeCom allows %(most)s a day."),
        _("Use pictures that are uploaded already, or wait until tomorrow."),
    ),
    "quota.tags_ok": Sentence(OK, _("%(used)s of %(most)s corp tags are used.")),
    "quota.tags_near": Sentence(
        WARNING, _("%(used)s of %(most)s corp tags are used."),
        _("Delete corp tags that nobody needs in WeCom's console: Customers and partners → Customer contact → Customers → Corp tags."),
    ),
    "quota.mass_ok": Sentence(OK, _("%(used)s mass sends of the company this month; a customer receives at most %(most)s a month.")),
    "quota.mass_near": Sentence(
        WARNING, _("%(used)s mass sends of the company this month; a customer receives at most %(most)s a month, and some may get no more."),
        _("Send the next ones to those who have received few, or wait for the next month."),
    ),
    "quota.balance_ok": Sentence(OK, _("%(left)s of %(most)s customers of the acquisition assistant are left.")),
    "quota.balance_low": Sentence(
        WARNING, _("Only %(left)s customers of the acquisition assistant are left."),
        _("Buy more in WeCom's console: Customers and partners → Customer contact → Acquisition assistant."),
    ),
    "quota.ways_ok": Sentence(OK, _("%(used)s of %(most)s codes (contact ways) are used.")),
    "quota.ways_near": Sentence(
        WARNING, _("%(used)s of %(most)s codes (contact ways) are used; beyond it no code can be made (41045)."),
        _("Retire codes that are no longer used under Codes → Contact ways, and delete strays. If WeCom has granted more, set WECOM_WAY_QUOTA."),
    ),
}  # fmt: skip


def say_all() -> None:
    for sentences in (_CREDENTIALS, _NETWORK, _PERMISSIONS, _CALLBACKS, _HERE, _QUOTAS):
        say(sentences)
