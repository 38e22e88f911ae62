"""Words that matter in a question, in the languages of Latin script that support desks know best, and some others.

A word too many costs a stem, a word too few may cost a right answer: where a word has two meanings it is here. Words
are case-folded.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBERS = _words(
    # English
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands "
    "million millions billion dozen half quarter third first second fourth fifth once twice thrice double "
    "triple both "
    "couple pair several "
    # German; its compounds are taken apart by `critical`
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig dreissig vierzig fünfzig "
    "sechzig siebzig achtzig neunzig hundert tausend million millionen dutzend halb halbe hälfte erste ersten zweite "
    "zweiten dritte dritten einmal zweimal doppelt beide "
    # French
    "zéro deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize vingt trente "
    "quarante "
    "cinquante soixante cent cents mille million demi moitié premier première deuxième second seconde troisième fois "
    # Spanish, Portuguese
    "cero dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince veinte treinta cuarenta "
    "cincuenta sesenta setenta ochenta noventa cien ciento mil millón medio mitad primero primera segundo "
    "segunda doble "
    "dois duas três quatro sete oito nove dez onze doze vinte trinta quarenta cinquenta cem cento milhão metade "
    "dobro "
    # Italian, Dutch
    "due tre quattro cinque sei sette otto nove dieci undici dodici venti trenta quaranta cinquanta cento mille "
    "milione metà doppio primo prima secondo een twee drie vier vijf zes zeven acht negen tien elf twaalf twintig "
    "dertig honderd duizend miljoen helft dubbel eerste tweede"
)

NUMBER_PARTS = (
    "null|eins|ein|zwei|drei|vier|fünf|sechs|sech|sieben|sieb|acht|neun|zehn|elf|zwölf|zwanzig|dreißig|dreissig|zig|"
    "hundert|tausend|und|een|twee|drie|vijf|zes|zeven|negen|tien|twaalf|twintig|dertig|veertig|honderd|duizend|en"
)
"""Of German and Dutch compounds: `zweihundertfünfzig`."""

CURRENCIES = _words(
    "dollar dollars euro euros pound pounds sterling quid buck bucks cent cents penny pence yen yuan renminbi rupee "
    "rupees franc francs franken krone kroner krona kronor zloty złoty forint koruna real reais peso pesos lira "
    "liras "
    "rand ruble rubles rouble roubles won baht dirham dirhams riyal shekel shekels pfund livre livres libra libras "
    "dólar dólares dollari sterlina sterline pond ponden bitcoin bitcoins btc eth ether ethereum usdt usdc crypto "
    "usd eur gbp chf jpy cny rmb inr aud cad nzd sek nok dkk pln czk huf ron bgn brl mxn zar krw thb idr myr sgd hkd "
    "twd aed sar ils try rub uah php vnd ngn kes egp clp cop ars"
)

DATES = _words(
    # months, weekdays
    "january february march april may june july august september october november december jan feb mar apr jun jul "
    "aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu "
    "thur thurs "
    "fri sat sun mondays tuesdays wednesdays thursdays fridays saturdays sundays "
    # English, relative
    "today tomorrow yesterday tonight now currently later soon ago last next previous recently recent early earlier "
    "late date dates day days week weeks month months year years hour hours minute minutes second seconds morning "
    "afternoon evening night noon midnight weekend weekends weekly monthly yearly annual annually daily before after "
    "since until till during already yet anymore christmas easter eve new-year "
    # German
    "januar jänner februar märz mai juni juli oktober dezember montag dienstag mittwoch donnerstag freitag samstag "
    "sonnabend sonntag heute morgen gestern übermorgen vorgestern bald später früher tag tage tagen woche "
    "wochen monat "
    "monate monaten jahr jahre jahren stunde stunden minute minuten vor nach seit bis letzte letzten nächste "
    "nächsten "
    # French
    "janvier février fevrier mars avril mai juin juillet août aout septembre octobre novembre décembre decembre "
    "lundi "
    "mardi mercredi jeudi vendredi samedi dimanche aujourd'hui demain hier jour jours semaine semaines mois an ans "
    "année années heure heures minutes avant après depuis dernier dernière prochain prochaine maintenant bientôt "
    # Spanish, Portuguese
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre lunes martes miércoles "
    "jueves viernes sábado domingo hoy mañana ayer día días semana semanas mes meses año años hora horas antes "
    "después "
    "desde hasta último última próximo próxima ahora janeiro fevereiro março maio junho julho setembro outubro "
    "dezembro segunda terça quarta quinta sexta hoje amanhã ontem dia dias mês ano anos depois desde até agora "
    # Italian, Dutch
    "gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre lunedì martedì mercoledì giovedì "
    "venerdì "
    "sabato domenica oggi domani ieri giorno giorni settimana settimane mese mesi anno anni ora ore prima dopo "
    "januari februari maart mei augustus maandag dinsdag woensdag donderdag vrijdag zaterdag zondag vandaag morgen "
    "gisteren dag dagen week weken maand maanden jaar jaren uur uren"
)

NEGATIONS = _words(
    # English, and what takes something out
    "no not never none nobody nothing nowhere neither nor cannot without unless except excluding instead rather only "
    "but however although though hardly barely rarely seldom scarcely unable refuse refused refuses deny denied lack "
    "lacks lacking missing stop stopped fail failed fails failing ain't nope nah cant dont doesnt didnt wont "
    "isnt arent "
    "wasnt werent havent hasnt hadnt shouldnt couldnt wouldnt mustnt neednt aint non "
    # German
    "nicht kein keine keinen keinem keiner keines nie niemals nichts niemand ohne weder noch außer ausser "
    "nirgends nein "
    "statt sondern aber nur "
    # French
    "ne n pas jamais rien aucun aucune personne sans ni non sauf mais plus guère seulement "
    # Spanish, Portuguese
    "nunca jamás jamas nada nadie ningún ninguno ninguna sin tampoco ni excepto pero sino sólo solo não nao ninguém "
    "nenhum nenhuma sem nem mas exceto jamais "
    # Italian, Dutch, Scandinavian, Polish, Turkish
    "mai niente nulla nessun nessuno nessuna senza né neanche ma tranne niet geen nooit niets niemand zonder "
    "nee maar "
    "inte ikke ikkje ej aldrig aldri ingen inget intet utan uten uden nej nei nie bez nigdy nic nikt değil yok hayır "  # noqa: RUF001
    # Cyrillic, Greek, Hindi, Arabic
    "не нет без никогда ничего никто ни нельзя но немає ні δεν μην όχι χωρίς नहीं मत न لا لم لن ليس ليست غير بدون ما"
)
NEGATED_ENDS = ("n't",)
NEGATED_STARTS = ("un", "dis", "non-", "de-")
NEGATED_SIGNS = frozenset("不没沒無无非别別未勿莫ぬず") | {"ない", "ません", "なし", "안", "못", "없", "아니", "않"}
"""In scripts that put no spaces between words, wherever they stand."""

TITLES = _words("mr mrs ms miss dr prof sir madam herr frau señor señora sr sra monsieur madame mme signor")
OPENERS = _words(
    "i the a an my your our his her their its it this that these those there here and or if so then also please "
    "thanks "
    "thank what when where why who which how whose is are was were am be been do does did have has had can "
    "could will "
    "would should shall must might let let's lets want need help hi hello hey dear good to in on at for from "
    "with of by "
    "as about into over up out off we you he she they me us him them kindly just okay ok yes is it's i'm i've "
    "i'd i'll "
    "what's how's where's that's there's get got tell show give make explain someone somebody any some all once"
)
"""English words that open a sentence in capitals without being names."""

GREETINGS = (
    "good morning", "good afternoon", "good evening", "good day", "hi there", "hello there", "hey there",
    "hi", "hello", "hey", "hiya", "greetings", "howdy", "dear sir or madam", "dear sir", "dear team", "dear support",
    "guten morgen", "guten tag", "guten abend", "hallo", "servus", "moin", "grüß gott", "bonjour", "bonsoir", "salut",
    "hola", "buenos días", "buenas tardes", "buenas noches", "olá", "bom dia", "boa tarde", "boa noite", "ciao",
    "buongiorno", "buonasera", "goedemorgen", "goedemiddag", "goedenavond",
    "hoi", "hej", "cześć", "привет", "здравствуйте",
)  # fmt: skip
THANKS = (
    "thank you very much", "thank you so much", "many thanks",
    "thanks a lot", "thanks in advance", "thank you", "thanks",
    "thx", "cheers", "kind regards", "best regards",
    "regards", "vielen dank", "danke", "danke schön", "merci beaucoup",
    "merci", "muchas gracias", "gracias", "muito obrigado",
    "obrigado", "obrigada", "grazie mille", "grazie", "dank je",
    "dank u", "bedankt", "tack", "dziękuję", "спасибо",
)  # fmt: skip
