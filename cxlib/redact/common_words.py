"""Words of names that are no evidence of a name."""

_COMMON = """
able ace alpha am amber an angel any april art as at august autumn baker ball bank banks bar barn bass bay be beach bean bear
bee bell bench berry best bill bird bishop black blade blank blue bob bond book booker boot booth bow bowl box branch brand
brave bright brook brooks brown buck bud budge burn burns bush buzz by camp can cannon case cash castle cat chance chase check
cherry chip christian chuck church city clark clay clear clerk close cloud coal cook coral cotton court cream crisp cross
crystal cure dale dance dare dark dash dawn day days dean dear december dock dollar don door dot dream drew drop early ease
east end england english eve ever fair faith fall fast february field fields fine fire first fish flag flood flower flowers
force ford forest foster fox frank free french friday friend fry game garden gate gates gay gem gene gentle german gift glass
go gold golden good grace grain grand grant gray green grey grove guest guy hack hall hammer hand hands harm harmony hash
haven hay he head hedge held hero hi high hill hills hold holiday home honey hook hope horn house hunt hurt ice ideal if in
iron is it ivory ivy jack january jet job joy july june just justice keen keep key keys kid kind king kit land lane large last
law lawn lay lee legend less line link little lock locke long lord lot love low luck lucky main major man march mark market
master max may me mean mercy merit merry mild mile miles mill miller mills mint miss mode monday money moon moore mount my
near neat new nick night no noble noon north novel november ocean october ok olive on opal or orange ore own page pain paint
pan paris park parker parks part pat patience pay peace peak pearl pen penny perry piece pine pink place plain plant plum
pointer pole post pot pound power powers price prince print prior purse quick rain ram rand range ranger ray read reader
reading red regal reign rice rich rick ride ring ripple rise river rivers road rob rock rocky rome root roots rose ruby rue
rule rush rust rusty sage sail sale salt sand saturday saw scout see self senior september serene shade shell shine shore
short show silver simple sky slate sleep small smart snow so song south sparks speed spence spring staff stage star stark
steel stern still stock stone storm story street strong sue summer summers sun sunday sunny sweet tag temple thursday tide
tiger timber time to top tower town towns trace trainer travel tree trip true trust tuesday twist up us valley victory view
walk wall walls ward ware warm warner wash water waters wave way we web wednesday week weeks well west wheat wheel white wild
will wills win wind wine wing winner winter wise wish wood woods word words work works worth yes young
"""
_NEVER = """
account admin administrator agent al and ben bin bot card customer customers da das de del della den der desk di do dos dr du
el email group help helpdesk het ibn info jr la le les mail mr mrs ms name of office phone prof sales san service services sir
sr st support system team ter test the user users van von zu zur
"""
COMMON_WORDS = frozenset(_COMMON.split())  # also ordinary words in a support text: names only when written as a name
NEVER_ALONE = frozenset(_NEVER.split())  # titles, particles and roles: part of a whole name at most
