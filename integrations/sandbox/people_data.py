"""What invented people are made of: per country, names, places, and number ranges that ring nobody.

The ranges are those that regulators set aside for films and books (US and Canada 555-01xx, United Kingdom x496 0xxx,
France, Germany, Sweden, Australia). Countries that have set none aside get land lines whose subscriber part starts
with a zero.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Numbers:
    """National numbers that start with one of `prefixes` and have `digits` more."""

    prefixes: tuple[str, ...]
    digits: int

    def at(self, slot: int) -> str:
        """The slot-th number, going round the prefixes; blank when they are used up."""
        rest, turn = divmod(slot, len(self.prefixes))
        if rest >= 10**self.digits:
            return ""
        return self.prefixes[turn] + (f"{rest:0{self.digits}d}" if self.digits else "")


@dataclass(frozen=True, slots=True)
class Country:
    code: str
    calling_code: int
    weight: int
    """How common the country is among the people."""
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    places: tuple[tuple[str, str], ...]
    """(city, postal code)"""
    streets: tuple[str, ...]
    """With `{}` for the house number."""
    fixed: Numbers
    mobile: Numbers | None = None


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _numbers(prefixes: str, digits: int) -> Numbers:
    return Numbers(_words(prefixes), digits)


def _fiction_of(area_codes: str) -> Numbers:
    return Numbers(tuple(f"{area}55501" for area in _words(area_codes)), 2)


US = Country(
    "US",
    1,
    46,
    _words(
        "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph "
        "Jessica Thomas Karen Christopher Lisa Daniel Nancy Matthew Betty Anthony Sandra Mark Ashley Donald Kimberly "
        "DeShawn LaToya Xochitl Keisha Tyrone Guadalupe Mei-Ling Priya Omar Siobhán"
    ),
    (
        *_words(
            "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodríguez Martinez Hernández Lopez Gonzales "
            "Wilson Anderson Taylor Moore Jackson Martin Lee Pérez Thompson White Harris Sánchez Clark Lewis "
            "Robinson Walker Young Allen King Wright Nguyen Hill Flores Green Adams Nelson Baker O'Neill "
            "Washington-Price"
        ),
        "de la Cruz",
        "Van Dyke Jr.",
        "St. James",
    ),
    (
        ("Portland", "97205"),
        ("Austin", "78701"),
        ("Cleveland", "44114"),
        ("Boise", "83702"),
        ("Tucson", "85701"),
        ("Raleigh", "27601"),
        ("Omaha", "68102"),
        ("Sacramento", "95814"),
        ("Hartford", "06103"),
        ("Albuquerque", "87102"),
        ("Buffalo", "14202"),
        ("Savannah", "31401"),
    ),
    (
        "{} Maple Avenue",
        "{} 3rd Street",
        "{} Cedar Lane, Suite 4B",
        "{} Lakeview Drive",
        "{} W Harbor Blvd",
        "PO Box {}",
    ),
    _fiction_of(
        "201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240 248 251 "
        "252 253 254 256 260 262 267 269 270 276 281 301 302 303 304 305 307 308 309 310 312 313 314 315 316 317 318 "
        "319 320 321 323 325 330 334 336 337 339 347 351 352 360 361 386 401 402 404 405 406 407 408 409 410 412 413 "
        "414 415 417 419 423 424 425 432 434 435 440 443 469 478 479 480 484"
    ),
    _fiction_of(
        "501 502 503 504 505 507 508 509 510 512 513 515 516 517 518 520 530 540 541 551 559 561 562 563 567 570 571 "
        "573 574 580 585 586 601 602 603 605 606 607 608 609 610 612 614 615 616 617 618 619 620 623 626 630 631 636 "
        "641 646 650 651 660 661 662 678 682 701 702 703 704 706 707 708 712 713 714 715 716 717 718 719 720 724 727 "
        "731 732 734 740 754 757 760 763 765 770 772 773 774 775 781 785 786 801 802"
    ),
)

COUNTRIES: tuple[Country, ...] = (
    US,
    Country(
        "CA",
        1,
        10,
        _words(
            "Liam Olivia Noah Emma Benoît Chloé Étienne Maëlle Gurpreet Amélie Hugo Anneke Wei Fatima Tanisha "
            "Jean-François"
        ),
        _words(
            "Tremblay Gagnon Roy Côté Bouchard MacDonald Singh Campbell Lévesque Fortin Wong Fraser Bélanger Dubé "
            "Chan O'Brien"
        ),
        (("Toronto", "M5V 2T6"), ("Montréal", "H3B 1A7"), ("Halifax", "B3J 1S9"), ("Calgary", "T2P 1J9")),
        ("{} rue Saint-Denis", "{} Queen Street W", "{} chemin de la Montagne"),
        _fiction_of("204 226 250 289 306 403 416 418 438"),
        _fiction_of("450 506 514 519 604 613 647 705 778"),
    ),
    Country(
        "GB",
        44,
        8,
        _words("Oliver Amelia George Isla Harry Ava Rhys Niamh Angus Eilidh Mohammed Aisha Zoë Gethin Beatrix Callum"),
        (
            *_words("Davies Evans Wilson Hughes Patel Khan Lewis Thomas O'Connor MacLeod Llewellyn Begum"),
            "Fitz-Gerald",
            "ap Rhys",
        ),
        (("London", "EC1A 1BB"), ("Leeds", "LS1 4AP"), ("Cardiff", "CF10 1EP"), ("Edinburgh", "EH1 1YZ")),
        ("{} High Street", "Flat 2, {} Station Road", "{} Church Lane"),
        _numbers(
            "2079460 1134960 1144960 1154960 1164960 1174960 1184960 1214960 1314960 1414960 1514960 1614960 2890180", 3
        ),
    ),
    Country(
        "AU",
        61,
        6,
        _words("Jack Charlotte Cooper Matilda Lachlan Ruby Nikos Thuy Bronte Archie Sunita Tane"),
        _words("Nguyen Kelly Papadopoulos Walker Ryan Chen Murphy McKenzie Taumoepeau O'Shea Kumar Ward"),
        (("Sydney", "2000"), ("Geelong", "3220"), ("Cairns", "4870"), ("Fremantle", "6160")),
        ("{} George Street", "Unit 3/{} Beach Road", "{} Wattle Grove"),
        _numbers("25550 35550 75550 85550 27010 37010 77010 87010", 4),
        _numbers(
            "491570006 491570156 491570157 491570158 491570159 491570110 491571266 491571491 491571804 491572549 "
            "491572665 491572983 491573770 491573087 491574118 491574632 491575254 491575789 491576398 491576801 "
            "491577426 491577644",
            0,
        ),
    ),
    Country(
        "FR",
        33,
        6,
        _words("Léa Théo Zoé Jérôme Anaïs Loïc Inès Gaël Françoise Rémi Hélène Maxence Noémie Cédric"),
        (
            *_words("Lefèvre Müller Garçon Benoît Dubois Besançon Bérénger Haddad Leroy Noël Ait-Ahmed Hénault"),
            "de La Tour",
            "Le Goff",
        ),
        (("Paris", "75011"), ("Nîmes", "30000"), ("Orléans", "45000"), ("Besançon", "25000")),
        ("{} rue de la République", "{} bis, allée des Érables", "{} quai Voltaire"),
        _numbers("19900 26191 35301 46571 53649", 4),
    ),
    Country(
        "DE",
        49,
        6,
        _words("Jürgen Käthe Björn Sören Anneliese Günther Frauke Özlem Mehmet Heike Lukas Hannah Matthias Jörg"),
        (
            *_words("Müller Schröder Weiß Groß Yıldız Köhler Böhm Krüger Großmann Jäger Schäfer Fuchs"),
            "von Ahrensburg",
            "zu Löwenstein",
        ),
        (("Berlin", "10115"), ("Köln", "50667"), ("München", "80331"), ("Lübeck", "23552")),
        ("Hauptstraße {}", "Am Mühlenbach {}", "Königsallee {}a"),
        _numbers("3023125 6990009 4066969 2214710 8999998", 3),
        _numbers("17139200 176040690", 2),
    ),
    Country(
        "SE",
        46,
        3,
        _words("Åsa Göran Märta Björn Linnéa Örjan Saga Elin Håkan Astrid"),
        _words("Öberg Åkesson Sjöström Lindqvist Hägg Nyström Ekström Ångström Svensson Karlsson"),
        (("Stockholm", "111 29"), ("Malmö", "211 20"), ("Luleå", "972 31")),
        ("Storgatan {}", "Björkvägen {} B", "Ågatan {}"),
        _numbers("8465004 4062804 9803192", 2),
        _numbers("70174061 70174062 70174063 70174064 70174065", 1),
    ),
    Country(
        "JP",
        81,
        4,
        _words("さくら 健太 陽菜 翔太 美咲 大輔 結衣 拓也"),
        _words("佐藤 鈴木 高橋 田中 渡辺 伊藤 山本 中村"),
        (("東京", "100-0005"), ("大阪", "530-0001"), ("札幌", "060-0042")),
        ("丸の内{}", "本町{}", "大通西{}"),
        _numbers("33000 66000", 4),
    ),
    Country(
        "GR",
        30,
        2,
        _words("Γιώργος Μαρία Νίκος Ελένη Δημήτρης Κατερίνα Σπύρος Ιωάννα"),
        _words("Παπαδόπουλος Οικονόμου Γεωργίου Νικολάου Αγγελόπουλος Βλάχος"),
        (("Αθήνα", "105 57"), ("Πάτρα", "262 21")),
        ("Ερμού {}", "Αθηνάς {}"),
        _numbers("210000", 4),
    ),
    Country(
        "UA",
        380,
        2,
        _words("Олена Тарас Оксана Богдан Ірина Андрій Наталія Єва"),
        _words("Шевченко Коваленко Бондаренко Ткачук Лисенко Мар'яненко"),
        (("Київ", "01001"), ("Львів", "79000")),
        ("вулиця Хрещатик {}", "площа Ринок {}"),
        _numbers("44000", 4),
    ),
    Country(
        "BR",
        55,
        3,
        _words("João Conceição Thaís Antônio Luís Márcia Estêvão Inácio"),
        (*_words("Gonçalves Araújo Magalhães Simões Brandão"), "dos Santos", "da Silva", "de Sá"),
        (("São Paulo", "01310-100"), ("Goiânia", "74000-000")),
        ("Rua das Flores, {}", "Avenida Paulista, {}"),
        _numbers("113000", 4),
    ),
    Country(
        "ES",
        34,
        3,
        _words("Íñigo Begoña Núria Andrés Concepción Iván Ángeles Óscar"),
        (*_words("Muñoz Ibáñez Núñez Peña Etxeberria Fernández"), "García Márquez", "del Río"),
        (("Madrid", "28013"), ("A Coruña", "15001")),
        ("Calle Mayor, {}", "Paseo de la Ría, {}"),
        _numbers("91000", 4),
    ),
    Country(
        "PL",
        48,
        3,
        _words("Łukasz Małgorzata Stanisław Grażyna Zbigniew Żaneta Paweł Elżbieta"),
        _words("Wójcik Kowalczyk Zieliński Woźniak Szymańska Dąbrowski Kozłowska Źrebiec"),
        (("Łódź", "90-001"), ("Warszawa", "00-001")),
        ("ulica Piotrkowska {}", "Świętokrzyska {}/7"),
        _numbers("221000 421000", 3),
    ),
)

COMPANIES = (
    "Northwind Logistics", "Bluebird Realty", "Harbor & Vine", "Acme Fixtures", "Cedar Ridge Dental",
    "Pinnacle Roofing LLC", "Müller & Söhne GmbH", "Société Lumière", "Kestrel Aviation", "Oakline Mortgage",
    "Tidewater Foods", "Granite Peak Advisors", "Sunrise Solar, Inc.", "Quill & Press", "Redwood Property Group",
    "Fjord Analytics AB", "Casa Verde S.L.", "Green Door Homes", "Prairie Health Partners", "Juniper Freight",
    "Atelier Noir", "Copper Kettle Brewing", "Lakeside Storage", "Minato Shoji 株式会社", "Wolf 359 Robotics",
    "Élan Cosmetics", "Third Coast Title", "O'Leary Plumbing", "Zephyr Wind Power", "A1 Towing",
)  # fmt: skip

TITLES = (
    "Owner", "Office Manager", "VP Sales", "Sales Manager", "CEO", "Broker", "Purchasing Agent", "Head of Operations",
    "CFO", "Marketing Director", "IT Manager", "Geschäftsführerin", "Directrice générale", "Facilities Coordinator",
    "Real Estate Agent", "Founder & Managing Partner", "Accountant", "Chief of Staff", "Property Manager",
    "Engineer II",
)  # fmt: skip

MAIL_DOMAINS = ("example.com", "example.org", "example.net")

RUBBISH_PHONES = (
    "n/a", "12345", "555-0199", "000-000-0000", "call the office", "07700 900123", "+1 999 999 9999", "unknown",
    "see notes", "0",
)  # fmt: skip
