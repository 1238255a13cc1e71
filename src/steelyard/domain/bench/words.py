"""Common English words, each of which is one token (with its space) in usual vocabularies.

Checked against the vocabularies cl100k_base and o200k_base; lower-case ASCII, two to ten letters.
"""

_TEXT = """
the of and to in is was for that with on as are by at from this have not but had his they were
she which you one we all her their has been would there when who will more if no out do so can
what up about into than them could time these two may then some other only new like any now
first such over also its our after most made even many where must before through back years
between should because being under own much well down both those still here life while without
world again might off every since state never another however during very work same against less
way men used home place right little long each know get people day part good hand high small
year large number school public old great end second often system house water word general
course war point night need head power within until city business kind order look side enough
young case group program set face far body social later called turn room present law want white
name give things next always almost half toward area went problem open money mind land best
certain across government country several nothing fact five line early control able free
interest figure door become given today church family age history period local effect already
real sense study force matter question possible value result action example common service
change total person act thing company full big cost morning moment child level building human
short true feet office special play rest view market reason past table light voice field road
car tell hard town above strong keep seen close behind near late letter plan story believe art
death month girl air stage miles party love together woman return support experience cut hold
report paper single mother father read north south east west ground black red blue green brown
deep music type private sound list feel stand simple amount record theory class modern community
move policy lines answer leave section position learn natural meeting students central test
center food bring shown hear minutes hour fire street property idea stop show basic trade lost
century trial start series range evidence heart heard final society cold medical data industry
size industrial future seem needed works third likely note required board square various space
available model inside union recent wide bed king poor hotel price current nature pay dark boy
earth remember floor news training method production college growth rate stock page lay wife
nation process shot team book spring summer winter autumn language science river garden window
forest island ocean mountain valley bridge castle village farm horse dog cat bird fish tree
flower grass leaf stone rock sand snow rain wind storm cloud sun moon star sky planet color
picture image photo camera film movie song dance band radio phone computer machine engine wheel
train plane ship boat truck bus station airport harbor port shop store bank factory hospital
library museum theater cinema restaurant kitchen bedroom bath roof wall gate path track court
park pool beach coast lake sea bay doctor nurse teacher student lawyer judge police soldier
captain driver pilot farmer worker baker cook artist writer actor singer player coach manager
leader president minister queen prince princess lord knight guard hunter bread butter cheese
milk egg meat beef chicken rice corn wheat sugar salt pepper soup salad fruit apple orange lemon
cherry grape tomato potato onion coffee tea wine beer juice cake chocolate shirt dress coat hat
shoe boot glove ring chain belt bag box bottle cup glass plate bowl knife fork spoon pot pan
desk chair sofa lamp clock mirror carpet curtain pillow blanket towel soap brush arm leg foot
finger thumb knee shoulder neck ear eye nose mouth tooth tongue lip hair skin bone brain lung
stomach yellow purple pink gray silver gold copper iron steel wood plastic rubber cotton wool
silk leather three four six seven eight nine ten hundred thousand million dozen fourth fifth
last monday friday sunday march april august september november december ask begin blow break
build buy call carry catch choose clean climb collect come compare complete connect consider
contain continue copy count cover create cross cry decide deliver depend describe design develop
die dig discover discuss divide draw dream drink drive drop eat enjoy enter escape examine exist
expect explain explore express fail fall feed fight fill find finish fit fix float fly follow
forget forgive form gain gather glance grow guess handle hang happen help hide hit hope hunt
hurry hurt imagine improve include increase inform insist invite join joke jump kick kiss knock
laugh launch lead lean lend lie lift listen live lock lose manage mark marry measure meet melt
mention miss mix notice obey observe obtain occur offer operate pack paint pass pause perform
permit pick plant pour praise pray prefer prepare press prevent print produce promise protect
prove provide pull punish push put raise reach realize receive recognize reduce refer reflect
refuse relate relax release rely remain remove rent repair repeat replace reply request require
rescue reveal ride rise roll rub rule run rush sail save search select sell send separate serve
settle shake shape share shine shoot shout shut sing sink sit sleep slide smell smile solve sort
speak spell spend spread stare steal stick stretch strike struggle succeed suggest supply
suppose surprise surround survive swim swing talk taste teach tear thank think throw tie touch
travel treat trust try twist understand unite use visit wait wake walk wander warn wash waste
watch wave wear weigh win wish wonder worry wrap write angry anxious bad beautiful bitter blind
bold brave brief bright broad broken busy calm careful cheap clear clever complex confident
constant cool correct crazy crowded cruel curious dangerous dear decent delicate dense different
difficult direct dirty distant double dry dull eager easy elegant empty entire equal exact
excellent exciting expensive extra fair faithful familiar famous fancy fast fat favorite fierce
fine firm flat foreign formal former fresh friendly frozen funny gentle genuine global glad
grand grateful handsome happy harsh healthy heavy helpful hidden hollow holy honest hot huge
hungry ideal ill important impossible innocent
"""

WORDS: tuple[str, ...] = tuple(_TEXT.split())
"""1,024 different words, commoner ones first."""
