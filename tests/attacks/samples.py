"""What is sent when nobody means harm; `Hostile` bends it."""

HUBSPOT_EVENTS = [
    {"eventId": 100, "subscriptionId": 501, "portalId": 4242, "appId": 9001, "occurredAt": 1_769_000_000_000, "attemptNumber": 0,
     "subscriptionType": "contact.propertyChange", "objectId": 512, "propertyName": "phone", "propertyValue": "+14155551234",
     "changeSource": "CRM_UI", "sourceId": "userId:77"},
    {"eventId": 101, "portalId": 4242, "occurredAt": 1_769_000_000_001, "subscriptionType": "contact.merge", "primaryObjectId": 1,
     "mergedObjectIds": [2, 3], "newObjectId": 4, "numberOfPropertiesMoved": 5},
    {"eventId": 102, "portalId": 4242, "occurredAt": 1_769_000_000_002, "subscriptionType": "object.associationChange",
     "objectTypeId": "0-1", "fromObjectId": 1, "toObjectId": 2, "fromObjectTypeId": "0-1", "toObjectTypeId": "0-2",
     "associationTypeId": 1, "associationRemoved": False},
]  # fmt: skip
FUB_EVENT = {"eventId": "152d60c0-79b7-4b2c", "event": "peopleUpdated", "resourceIds": [12345, 12346],
             "uri": "https://api.followupboss.com/v1/people?id=1", "data": {"stage": "Lead"}}  # fmt: skip
SALESFORCE_EVENT = {
    "eventId": "e-1",
    "payload": {"ChangeEventHeader": {"entityName": "Lead", "recordIds": ["00QD000000abcdeMAA"], "changeType": "UPDATE",
                                      "changedFields": ["Phone"]}, "Phone": "+14155550123"},
}  # fmt: skip
CALL = {
    "external_id": "d-1", "provider": "hubspot", "crm_record_id": "7", "direction": "outbound", "duration_seconds": 342,
    "started_at": "2026-01-21T14:30:00Z", "disposition": "Connected", "notes": "Wants a demo", "summary": "s",
    "key_points": ["a"],
    "next_steps": ["b"], "recording_url": "https://recordings.example/1.mp3", "agent_email": "rep@example.com",
    "metadata": {"ai_score": 87, "sentiment": "positive", "talk_ratio": 0.38}, "phone": "+14155550101",
    "from_number": "+14155550102",
    "meeting": {"starts_at": "2026-02-01T10:00:00Z", "duration_minutes": 30, "title": "Demo", "location": "Zoom"},
    "follow_up": {"due_at": "2026-02-01T10:00:00Z", "title": "Call back"}, "related_record_id": "99",
}  # fmt: skip
STAGE = {
    name: CALL[name]
    for name in ("disposition", "notes", "summary", "key_points", "recording_url", "metadata", "meeting", "agent_email")
}
STAGE |= {"said_at": "2026-01-21T15:00:00Z"}
PERSON = {
    "first_name": "Ann", "last_name": "Lee", "email": "ann@example.com", "phone": "+14155550101", "mobile_phone": "",
    "company": "Acme",
    "title": "CTO", "lead_status": "New", "do_not_call": False, "custom": {"plan": "pro", "size": 7},
}  # fmt: skip
TOKEN = {"who": "rep@example.com", "seconds": 900}
QUERIES = (
    "cursor",
    "limit",
    "provider",
    "do_not_call",
    "external_id",
    "format",
    "page",
    "token",
    "expires",
    "signature",
)

# --- for what has no door of its own ----------------------------------------------------------------------------------------------

RECORD = {
    "Id": "00QD000000abcdeMAA", "FirstName": "Ann", "Owner": {"Email": "a@b.example"}, "Amount": "1,234.50", "Tags": ["a", "b"],
    "phones": [{"type": "work", "value": "(415) 555-0101"}, {"type": "home", "value": ""}], "Created": "2026-01-02T03:04:05Z",
    "customFields": {"Last Called": "2026-01-02"}, "Active": "true",
}  # fmt: skip
PATHS = ("FirstName", "Owner.Email", "phones[type=work].value", "phones[0].value", 'customFields."Last Called"', "Tags[1]",
         "phones[0].value (type:work)", "A || B.C || D[0]", 'phones["a b"="c d"].x')  # fmt: skip
EXPRESSIONS = (
    "value.trim()", "value.toUpperCase() + record.FirstName", "[...value].map((c) => c.codePointAt(0))", "record.phones[0].value",
    "value.replace(/[^0-9]/g, '')", "({a: value, b: [1, 2, 3]})", "JSON.parse(JSON.stringify(record))",
    "new Date(value).toISOString()",
    "value.split('').sort().reverse().join('')", "value.constructor.constructor('return this')()",
    "Object.keys(globalThis).join()",
    "(function(){ return this })()", "Reflect.ownKeys(Object.prototype).map(String)", "new Proxy({}, {get: () => 1}).x",
    "Object.assign(Object.prototype, {polluted: 1})", "value.__proto__.__proto__.x = 1", "[].concat.call(record, value).length",
    "new Function('return 1')()", "eval('1+1')", "`${value}`.repeat(3)", "(async () => 1)()", "[...Array(100).keys()]",
    "value.match(/a+b/)",
)  # fmt: skip
ENDLESS = (
    "(() => { for (;;) {} })()", "(() => { const a = []; while (true) a.push(a.slice()) })()", "'a'.repeat(2**28)",
    "(function f(){ return f() })()",
    "Array(2**27).fill(value).join()", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.match(/^(a+)+$/)",
    "[...Array(3e6).keys()].sort(() => 0)",
    "(() => { let s = 'x'; while (true) s += s })()", "JSON.stringify(Array(3e6).fill('\\\\'))", "2n ** (2n ** 30n)",
    "new Uint8Array(2**30).length",
)  # fmt: skip
UNSPOILT = "[1, ' a'.trim(), typeof ({}).polluted, Object.keys(record)[0]]"
"""What built-ins do, whatever ran before."""
OPTIONS = {
    "picklist_map": {"map": {"New": "new", "Old": "old"}, "unmapped": "pass"}, "custom": {"expression": "value.trim()"},
    "date_iso": {"output": "iso"}, "phone_e164": {"region": "GB", "accept": "possible"}, "currency": {"currency": "USD"},
}  # fmt: skip
CSV = (
    b'"Id","Name","Phone"\n"00Q1","Ann ""A"" Lee","+1 415"\n"00Q2","two\nlines",""\n"00Q3","","#N/A"\n',
    b"Id,Name\n1,\xc3\xa9\n2,\xe2\x82\xac\n", b'\xef\xbb\xbf"Id"\r\n"1"\r\n',
)  # fmt: skip
SOAP = (
    b'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
    b'<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00DD0000000abcdMAA</OrganizationId>'
    b"<ActionId>04k5g000000TN1AAAW</ActionId><SessionId>x</SessionId><Notification><Id>04l5g0000000001AAA</Id>"
    b'<sObject xsi:type="sf:Lead" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>00QD000000abcdeMAA</sf:Id>'
    b"<sf:LastName>Roe</sf:LastName></sObject></Notification></notifications></soapenv:Body></soapenv:Envelope>"
)
XML_BOMBS = (
    b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><l>&c;</l>',
    b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
    b"<a>" * 20_000, b"<a" + b" b='c'" * 5000 + b"/>", b'<?xml version="1.0" encoding="UTF-7"?><a/>',
    b'<?xml version="1.0" encoding="x"?><a/>',
    b"<a>&#0;</a>", b"<a>&#xD800;</a>", b"<a>" + b"x" * 300_000 + b"</a>",
)  # fmt: skip
CHANGE = {
    "data": {
        "schema": "x", "event": {"replayId": 7},
        "payload": {
            "ChangeEventHeader": {
                "entityName": "Lead", "recordIds": ["00QD000000abcdeMAA"], "changeType": "UPDATE", "changedFields": ["Phone",
                "Name.First"],
                "changeOrigin": "com/salesforce/api/rest/59.0;client=DialerSync", "transactionKey": "a", "sequenceNumber": 1,
                "commitTimestamp": 1_769_000_000_000,
            },
            "Phone": "1", "Name": {"FirstName": "A", "LastName": "B"}, "Description": {"diff": "x"}, "MasterRecordId": None,
        },
    }
}  # fmt: skip
ANSWERS = (
    {"status": "error", "message": "Property values were not valid: [{\"name\":\"x\"}]", "category": "VALIDATION_ERROR",
     "errors": [{"message": "m", "context": {"ids": ["1"]}}], "context": {"missingScopes": ["a"]}},
    [{"message": "duplicate value found: x on record 00QD000000abcde", "errorCode": "DUPLICATE_VALUE", "fields": ["A"]}],
    {"errorMessage": "Rate limit", "title": "x"}, {"exceptionCode": "InvalidBatch", "exceptionMessage": "ClientInputError : x"},
    {"error": "invalid_grant", "error_description": "expired"},
)  # fmt: skip
LOGGED = ("Authorization: Bearer abcdef123456", '{"access_token": "x", "phone": "+14155550101"}',
    "https://a.example/?code=1&state=2",
          "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----", "call +1 (415) 555-0101 or 415-555-0101",
          "dbk_1_abc")  # fmt: skip
NOTE = "{{#has_key_points}}Points:\n{{#key_points}}- {{.}}\n{{/key_points}}{{/has_key_points}}{{notes}} {{^summary}}no{{/summary}}"
ADDRESSES = (
    "https://hooks.example.com/x?y=1",
    "https://acme.my.salesforce.com",
    "http://10.0.0.1/",
    "https://[::1]:8443/",
    "https://0x7f.1/",
)
DOCUMENT = {
    "field_mappings": [
        {"tenant_id": "t", "crm_provider": "hubspot", "sync_direction": "bidirectional", "dialer_entity": "contact",
        "dialer_field": "email",
         "crm_object": "contacts", "crm_field": "email", "transform_rule": "none", "custom_transform": None, "is_required": False,
         "is_active": True, "validations": [{"type": "format", "params": {"pattern": "^a+$"}, "errorMessage": "x"}]}
    ]
}  # fmt: skip
