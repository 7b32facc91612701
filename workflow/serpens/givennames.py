"""Common given names of several languages, without those that are as common as a place, a month, a flower or a make."""

_NAMES = """
aaron abdul abdullah adam adrian agnes ahmed aisha alan albert alejandro alessandro alex alexander alexandra alfred
ali alice alicia alina amanda amelia amelie amina amir amit amy ana anastasia andrea andreas andrei andrew angela
angelina anil anita anja ann anna anne annette annika anthony antoine anton antonio arjun arthur ashok astrid ayse
barbara beatrice beatriz benjamin bernard bernd bianca birgit bjorn boris brandon brenda brian bruno camille carina
carl carla carlos carmen carol caroline catherine cecilia chantal charles charlie chen chiara chloe christian
christina christine christoph christopher claire clara claudia colin cristina cynthia daniel daniela daniele
danielle david deborah deepak denise dennis diana diane diego dieter dimitri dmitry dominik donald dorothy douglas
edith eduardo edward eileen elena eleanor elias elisa elisabeth elizabeth ella ellen emil emilia emily emma enrique
eric erik erika ethan eva evelyn fabian fatima federico felix fernando fiona francesca francesco francisco francois
frank franz frederic frederik friedrich fritz gabriel gabriela gary genevieve george gerald gerhard giovanni giulia
giuseppe gloria greta guillaume gunter gustav hannah hans harald harold harry hassan heather heidi heike heinrich
heinz helen helena helga helmut henri henrik henry hiroshi holger hugo ibrahim igor ines ingrid irene irina isabel
isabella isabelle ivan jack jacob jacqueline jacques jakob james jan jana jane janet janine jasmin jason javier jean
jeff jeffrey jennifer jens jeremy jessica jesus jill jing joan joao joanna joe johan johanna johannes john jonas
jonathan jorge jose josef joseph joshua juan judith julia julian julie juergen jurgen jutta kai karen karin karl
karsten katarina katharina katherine kathleen kathrin katja kazuo keith kelly kenneth kenji kevin khadija kim klaus
konstantin kristen kristina kumar kurt lakshmi lara larry lars laura laurence laurent lea lena leon leonardo lina
linda lisa liu lorenzo louis louise luca lucas lucia lucie luigi luis luisa lukas lukasz lynn magdalena mahmoud
maja manfred manuel manuela marc marcel marco marcus margaret maria mariam marianne marie marina mario marion mark
marko markus marta martha martin martina mary maryam mateo matteo matthew matthias max maximilian maya megan mehmet
mei melanie melissa michael michaela michel michele michelle miguel mikhail milan mohamed mohammad mohammed monica
monika monique muhammad mustafa nadia nadine nancy natalia natalie natasha nathan neil nicholas nicolas nicole niels
nikolai nils nina noah nora norbert olaf oleg olga oliver olivia omar oscar oskar otto pablo pamela pascal patricia
patrick paul paula pedro peter petra philip philipp philippe pierre pilar piotr priya rachel rafael rahul raj rajesh
ralf ralph ramon raquel ravi rebecca regina reinhard renate rene ricardo richard rita robert roberto robin roland
rolf ronald rosa rosemary rudolf russell ruth ryan sabine sabrina sally samantha samuel sandra sanjay sara sarah
scott sean sebastian serge sergei sergio sharon sigrid silke silvia simon simone sofia sonia sonja sophia sophie
stefan stefanie stefano stephan stephanie stephen steven sunil susan susanne suzanne svetlana sven takashi tamara
tanja tatiana teresa thandiwe theodor theresa thierry thomas thorsten tim timothy tobias tomas tomasz ulrich ursula
uwe valentina vanessa vera veronica viktor vincent vladimir walter wei werner wilhelm william wolfgang xavier yan
yasmin yuki yusuf yves yvonne zoe
"""
GIVEN_NAMES = frozenset(_NAMES.split())
_TITLES = "mr mrs ms miss mx dr prof herr frau monsieur mme mlle senor senora sig"
TITLES = frozenset(_TITLES.split())
