"""Common given names: where both of two similar names are ordinary ones, neither is a slip of the pen."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_COMMON = """
aaron abby abigail ada adam adela adele adrian adriana adrienne agnes agnieszka ahmad ahmed aidan aiden aisha alain alan
albert alberta alberto aleksander aleksandra alena alessandra alessandro alessia alessio alex alexa alexander alexandra
alexandre alexandria alexis alfred alfredo alice alicia alina alisa alison alistair allan allen allison alma alva amanda
amber amelia amelie amina amir amira amit amita amy ana anastasia anders andre andrea andreas andrei andrew andy angel
angela angelica angelina angelo angus anika anil anita anja anjali ann anna annabel annabelle anne annette annie annika
anthony anton antoine antonia antonio anya april archie ariana ariane arianna arthur arturo arun arya ashley ashlyn astrid
aubrey audrey august augusta augustin austin ava avery axel ayla aylin bailey barbara barry bart beatrice beatrix belinda
bella ben benedict benjamin benoit bernadette bernard bernd bernhard bert beth bethany betty beverly bianca bill billy
bjorn blake bob bobby boris brad bradley brady brandi brandon brandy brayden brenda brendan brennan brent brett brian
briana brianna bridget brittany brittney brock brooke bruce bruno bryan bryce brynn byron caitlin caleb callum calvin
cameron camilla camille candace cara carina carl carla carlo carlos carlotta carly carmen carol carola carole carolina
caroline carolyn carrie carsten carter casey cassandra cassidy catalina catharina catherine cathy cecilia cecile cedric
celia celina celine chad chantal charlene charles charlie charlotte chase chelsea cheryl chiara chloe chris christa
christian christiane christina christine christof christoph christophe christopher christy cindy claire clara clare clarissa
claude claudia claudio clayton clemens clement cleo clifford clint clinton cody cole colin colleen connor conor conrad
constance constantin cooper cora corey corinna corinne cornelia cornelius cory courtney craig cristian cristina crystal
curt curtis cynthia cyril dagmar daisy dale damian damien damon dan dana daniel daniela daniele daniella danielle danny
daphne daria dario darius darren darryl dave david dawn dean deborah declan delia denis denise dennis derek derrick desiree
devin devon diana diane diego dieter dillon dina dirk dmitri dolores dominic dominik dominique don donald donna dora dorian
doris dorothea dorothy douglas drew duncan dustin dwayne dylan earl ed eddie edgar edith edmund eduard eduardo edward edwin
eileen elaine elena eleanor elias elijah elin elina elisa elisabeth elise elizabeth ella ellen elle ellie elliot ellis elsa
elsie emanuel emil emile emilia emilie emilio emily emma emmanuel emmett enrico enrique eric erica erich erik erika erin
ernest ernst esteban esther ethan eugene eugenia eva evan eve evelyn ezra fabian fabienne fabio fatima felicia felicity
felipe felix fernanda fernando fiona finn flora florence florian frances francesca francesco francine francis francisca
francisco franco francois frank franz fred freda frederic frederica frederick frederik freya frida friedrich fritz gabriel
gabriela gabriele gabriella gabrielle gail gareth gary gavin gemma gene genevieve geoffrey george georgia georgina gerald
geraldine gerard gerd gerhard gianna gilbert giles gina giovanna giovanni gisela giulia giulio giuseppe gladys glen glenn
gloria gordon grace graham grant greg gregory greta guido guillaume gunter gustav guy gwen hailey haley hana hanna hannah
hannes hans harald harley harold harriet harrison harry harvey hassan hayden hayley hazel heather hector heidi heike heinz
helen helena helene helga henri henrietta henrik henry herbert herman hilary hilda holly hope howard hubert hugh hugo hunter
ian ibrahim ida ignacio igor ilona imogen ina ines inga inge ingo ingrid irene irina iris irma isaac isabel isabell isabella
isabelle isaiah isla ismail ivan ivana ivo jack jackson jacob jacqueline jade jaden jake jakob james jamie jan jana jane
janet janice janina janine jared jasmin jasmine jason javier jay jayden jean jeanette jeanne jeff jeffrey jelena jen jenna
jennifer jenny jens jeremy jerome jerry jesse jessica jessie jesus jill jim jimmy jo joachim joan joana joann joanna joanne
jochen jodie joe joel joerg joey johan johann johanna johannes john johnny jon jonas jonathan jordan jorg jorge jose josef
josefa joseph josephine josh joshua josie joy joyce juan juana judith judy jules julia julian juliana juliane julie julien
juliet julietta juliette julio julius june justin justine justus kai kaitlin kaitlyn kara karen karim karin karina karl karla
karsten kasper kate katharina katherine kathleen kathryn kathy katie katja katrin katrina kay kayden kayla kaylee keith kelly
kelsey ken kendra kenneth kenny kerry kerstin kevin khalid kiara kieran kim kimberly kira kirsten kirstin klara klaus kris
kristen kristian kristin kristina kristine krystal kurt kyle kyla kylie lachlan lara larissa larry lars laura laurel lauren
laurence laurent lea leah leanne lee leila lena leo leon leona leonard leonardo leonie leopold leroy leslie lesley levi lewis
lex lia liam lidia lily lilly lillian lina linda lindsay lindsey linus lisa lloyd logan lois lola lona lora lorena lorenz
lorenzo loretta lori lorraine lothar louis louisa louise luc luca lucas lucia luciana luciano lucie lucy luis luisa luka lukas
luke lydia lyle lynn mabel mackenzie macy maddison madeleine madeline madison magda magdalena maik maja malcolm malik malte
mandy manfred manuel manuela mara marc marcel marcela marcella marcia marco marcos marcus margaret margarita margit margot
maria mariana marianne marie mariella marilyn marina mario marion marisa marissa marius mark marko markus marla marlene marlon
marsha marta martha martin martina marvin mary maryam mason massimo mathias mathieu mathilda matilda matteo matthew matthias
maura maureen maurice mauro max maxim maxime maximilian maxine maya megan mehmet meike melanie melinda melissa melody mercedes
meredith mia micah michael michaela michal michel michele michelle miguel mika mike mikael mikhail mila milan milena miles
milo mina mindy minna mira miranda miriam misha mitch mitchell mohamed mohammed moira mollie molly mona monica monika monique
morgan moritz muhammad muriel myles myra nadia nadine nadja nancy naomi natalia natalie nataly natasha nate nathalie nathan
nathaniel neal neil nelson nicholas nick nico nicola nicolas nicole nicoletta nigel nikita niklas nikola nikolai nikolas nils
nina noah noel noelle nolan nora norbert noreen norma norman olaf oleg olga oliver olivia olivier omar oscar oskar otto owen
pablo paige paloma pamela paola paolo pascal pat patrice patricia patrick paul paula paulina pauline paulo pavel pearl pedro
peggy penelope penny per perry peter petra phil philip philipp philippa philippe phillip phoebe phyllis pia pierre piotr
priscilla priya quentin quinn rachel rachael rafael rahul rainer raj raja ralf ralph ramon ramona randall randy raoul raphael
raquel raul ray raymond rebecca regina reginald reinhard rene renata renate renee reuben rex rhonda ricardo richard rick ricky
rita rob robbie robert roberta roberto robin robyn rocio rochelle rodney rodrigo roger roland rolf roman romina romy ron ronald
ronja ronny rory rosa rosalie rosalind rosanna rose rosemary rosie ross roswitha rowan roxanne roy ruben rudolf rufus rupert
russell ruth ryan sabina sabine sabrina sadie sally salma salvatore sam samantha samara samir samira samuel sandra sandro sara
sarah sascha sasha saskia savannah scott sean sebastian selena selina selma serena serge sergei sergio seth shane shania shannon
sharon shaun shauna shawn sheila shelby shelley sheryl shirley sidney siegfried sierra sigrid silas silke silvia silvio simon
simona simone sina skye sofia sofie sonia sonja sonya sophia sophie spencer stacey stacy stefan stefania stefanie stella
stephan stephanie stephen steve steven stewart stuart sue summer sunil sunita susan susana susann susanna susanne suzanne
sven svenja svetlana sybille sydney sylvia sylvie tamara tammy tania tanja tanya tara tariq tasha tate tatiana taylor ted
terence teresa terri terry tess tessa thea thelma theo theodor theodora theresa therese thomas thorsten tia tiffany tilda till
tim timo timothy tina tobias toby todd tom tomas tommy toni tony tonya torsten tracey tracy travis trent trevor tricia tristan
troy tyler tyson udo ulf ulrich ulrike ursula uwe valentin valentina valentino valerie valeria vanessa vaughn vera verena
verona veronica veronika vicky victor victoria viktor viktoria vincent vincenzo viola violet virginia vivian viviana vivien
vivienne vladimir volker wade wallace walter wanda warren wayne wendy werner wesley whitney wilfred wilhelm will willa william
willow wilma winona winston wolfgang xavier yannick yasmin yasmine yolanda yousef yusuf yves yvette yvonne zac zachary zane zara
zoe zoey
"""

COMMON_GIVEN_NAMES = frozenset(_COMMON.split())


@cache
def known_given_names() -> frozenset[str]:
    """Given names of many countries, the rare ones too (some 18 000), read once. Source: ``given_names.txt``."""
    text = files("castiel.domain.matching").joinpath("given_names.txt").read_text("ascii")
    return COMMON_GIVEN_NAMES | {line for line in text.splitlines() if not line.startswith("#")}
