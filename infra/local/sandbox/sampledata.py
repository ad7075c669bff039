"""Made-up people and companies for every provider's seed: the same seed, the same people."""

from __future__ import annotations

import random
from dataclasses import dataclass

_FIRST = [
    "Amara",
    "Anna",
    "Aylin",
    "Bartosz",
    "Camille",
    "Chen",
    "Daniel",
    "Deepa",
    "Elena",
    "Emeka",
    "Fatima",
    "Felix",
    "Freya",
    "Giulia",
    "Hana",
    "Henrik",
    "Ines",
    "Ivan",
    "Jamal",
    "Johanna",
    "Jonas",
    "Kaito",
    "Katarzyna",
    "Lars",
    "Leila",
    "Lucía",
    "Luis",
    "Maja",
    "Marco",
    "Mei",
    "Mila",
    "Nadia",
    "Noah",
    "Nuria",
    "Oliver",
    "Olga",
    "Pablo",
    "Priya",
    "Rasmus",
    "Renée",
    "Sana",
    "Sofia",
    "Søren",
    "Tariq",
    "Thandiwe",
    "Theo",
    "Uma",
    "Viktor",
    "Wei",
    "Yara",
    "Zoë",
]
_LAST = [
    "Abara",
    "Acosta",
    "Andersen",
    "Bauer",
    "Bianchi",
    "Bouchard",
    "Castillo",
    "Chaudhry",
    "Costa",
    "Dąbrowski",
    "Diaz",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Hoffmann",
    "Ibrahim",
    "Ivanova",
    "Jansen",
    "Jensen",
    "Kowalska",
    "Kumar",
    "Larsen",
    "Lefèvre",
    "López",
    "Martins",
    "Mbeki",
    "Meyer",
    "Moreau",
    "Müller",
    "Nakamura",
    "Nguyen",
    "Novák",
    "O'Brien",
    "Okafor",
    "Olsen",
    "Park",
    "Patel",
    "Petrov",
    "Rossi",
    "Sánchez",
    "Schmidt",
    "Silva",
    "Suzuki",
    "Tanaka",
    "Tran",
    "Virtanen",
    "Weber",
    "Yılmaz",
    "Zhang",
]
_FIRM_A = [
    "Alpine",
    "Amber",
    "Aurora",
    "Baltic",
    "Beacon",
    "Bright",
    "Cedar",
    "Cobalt",
    "Coral",
    "Delta",
    "Ember",
    "Falcon",
    "Granite",
    "Harbor",
    "Helix",
    "Iris",
    "Juniper",
    "Kestrel",
    "Lumen",
    "Maple",
    "Meridian",
    "Nimbus",
    "Noble",
    "Northern",
    "Onyx",
    "Opal",
    "Orchard",
    "Pioneer",
    "Quartz",
    "Raven",
    "River",
    "Sierra",
    "Silver",
    "Solar",
    "Summit",
    "Tidal",
    "Umbra",
    "Vector",
    "Willow",
    "Zephyr",
]
_FIRM_B = [
    "Analytics",
    "Biotech",
    "Ceramics",
    "Chemicals",
    "Components",
    "Consulting",
    "Dynamics",
    "Energy",
    "Engineering",
    "Foods",
    "Freight",
    "Glass",
    "Health",
    "Instruments",
    "Labs",
    "Logistics",
    "Materials",
    "Media",
    "Motors",
    "Networks",
    "Optics",
    "Packaging",
    "Partners",
    "Pharma",
    "Plastics",
    "Power",
    "Robotics",
    "Shipping",
    "Software",
    "Steel",
    "Systems",
    "Textiles",
    "Tools",
    "Trading",
    "Water",
]
_FORMS = ("GmbH", "Ltd", "Inc", "SA", "AB", "BV", "SpA", "Oy")
_CITIES = (
    ("Hamburg", "Germany", "20095", "+4940"),
    ("Lyon", "France", "69002", "+334"),
    ("Leeds", "United Kingdom", "LS1 4DY", "+44113"),
    ("Turin", "Italy", "10121", "+39011"),
    ("Seattle", "United States", "98101", "+1206"),
    ("Gothenburg", "Sweden", "41103", "+4631"),
    ("Porto", "Portugal", "4000-069", "+35122"),
    ("Osaka", "Japan", "530-0001", "+816"),
)
_STREETS = (
    "Canal Street",
    "Mill Lane",
    "Station Road",
    "Hafenstraße",
    "Rue des Tilleuls",
    "Via Garibaldi",
    "Park Avenue",
)
_TITLES = ("Account Manager", "Buyer", "CFO", "Data Engineer", "Head of Sales", "Office Manager", "Plant Director",
           "Product Manager", "Quality Lead", "Software Engineer")  # fmt: skip
_ASCII = str.maketrans("àąáäãèéęëíıłńñóöøśüúżç'", "aaaaaeeeeiilnnooosuuzc_", "_")


@dataclass(frozen=True, slots=True)
class Company:
    name: str
    domain: str
    phone: str
    street: str
    city: str
    postal_code: str
    country: str
    employees: int


@dataclass(frozen=True, slots=True)
class Person:
    first_name: str
    last_name: str
    email: str
    phone: str
    title: str


class SampleData:
    """People and companies drawn from a seed, one after another, never the same e-mail address twice."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._companies = 0
        self._people = 0

    def company(self) -> Company:
        self._companies += 1
        first, second = self.dice.choice(_FIRM_A), self.dice.choice(_FIRM_B)
        city, country, code, dial = self.dice.choice(_CITIES)
        return Company(
            name=f"{first} {second} {self.dice.choice(_FORMS)}",
            domain=f"{first.lower()}-{second.lower()}-{self._companies}.example.com",
            phone=f"{dial}{self.dice.randrange(10**6, 10**7)}",
            street=f"{self.dice.randrange(1, 180)} {self.dice.choice(_STREETS)}",
            city=city,
            postal_code=code,
            country=country,
            employees=self.dice.choice((8, 25, 60, 140, 400, 1200, 5200)),
        )

    def person(self) -> Person:
        self._people += 1
        first, last = self.dice.choice(_FIRST), self.dice.choice(_LAST)
        mailbox = f"{first}.{last}".lower().translate(_ASCII).encode("ascii", "ignore").decode()
        return Person(
            first_name=first,
            last_name=last,
            email=f"{mailbox}.{self._people}@example.com",
            phone=f"{self.dice.choice(_CITIES)[3]}{self.dice.randrange(10**6, 10**7)}",
            title=self.dice.choice(_TITLES),
        )


def spread_times(dice: random.Random, count: int, now_ms: int) -> list[int]:
    """`count` different whole seconds, ascending, from 30 days ago to one hour ago, in milliseconds.

    Raises ValueError when there are more records than seconds in that time.
    """
    hour, month = 3600, 30 * 86400
    start = now_ms // 1000 - month
    return [(start + second) * 1000 for second in sorted(dice.sample(range(month - hour), count))]
