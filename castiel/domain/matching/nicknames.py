"""Short forms of given names, so that Bill and William are not taken for two people."""

from __future__ import annotations

_GROUPS = """
abigail abby gail
albert al bert
alexander alex sandy sascha xander
alexandra alex sandra sasha
alfred alf fred
amanda mandy
andrew andy drew
anna ann anne annie
anthony tony
antonio toni tonio
barbara barb babs
benjamin ben benny
catherine cathy katherine kathryn kate katie kathy cat
charles charlie chuck chas
christina chris tina christine
christopher chris kit
daniel dan danny
david dave davy
deborah deb debbie debra
donald don donny
dorothy dot dottie
edward ed eddie ted ned
eleanor ellie nora
elizabeth liz beth betty eliza lizzie libby
emily em emmy
eugene gene
francis frank fran
frederick fred freddy
gabriel gabe
gabriele gabi
george georgie
gerald gerry jerry
gregory greg
harold harry hal
heinrich heinz
henry harry hank
isabella bella isabel izzy
jacob jake
james jim jimmy jamie
jeffrey jeff geoffrey geoff
jennifer jen jenny
jessica jess jessie
johannes hannes
john jack johnny
jonathan jon
joseph joe joey
josef sepp
joshua josh
judith judy
kenneth ken kenny
kimberly kim
lawrence larry laurence
leonard leo len lenny
louis lou
margaret maggie meg peggy marge
maria mia
martin marty
matthew matt
maximilian max
megan meg
melissa mel
michael mike mick mickey
nathaniel nathan nate
nicholas nick nicky
nicole nicky
pamela pam
patricia pat patty tricia
patrick pat paddy
peter pete
philip phil phillip
raymond ray
rebecca becky becca
richard rick dick rich ricky
robert bob rob bobby robbie
ronald ron ronnie
roberto beto
samantha sam
samuel sam sammy
sarah sally
stephanie steph
stephen steve steven stevie
susan sue susie suzanne
theodore ted theo teddy
thomas tom tommy
timothy tim timmy
valerie val
victoria vicky tori
vincent vince vinny
walter walt wally
wilhelm willi
william bill will billy willy liam
zachary zach zack
"""


def _by_name() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for number, line in enumerate(_GROUPS.strip().splitlines()):
        for name in line.split():
            groups.setdefault(name, set()).add(number)
    return {name: frozenset(numbers) for name, numbers in groups.items()}


_NICKNAME_GROUPS = _by_name()
_NONE: frozenset[int] = frozenset()


def nickname_groups(name: str) -> frozenset[int]:
    """The groups of given names that this one is a form of; two names with a common group can be one person's."""
    return _NICKNAME_GROUPS.get(name, _NONE)
