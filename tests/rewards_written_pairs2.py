r"""A second list of answers by hand, unseen: (kind, gold, answer, right[, question]).

Golds as public data sets write them, answers as models write them in a \boxed{}; the type is the gold's.
Written from docs/data.md and the kinds of fault, without a look at how answers are compared.
"""

PAIRS = []  # about half of them wrong
MORE_WRONG = []  # what else is wrong of the same golds, in the same format


def add(kind, gold, good, bad, *question):
    PAIRS.extend((kind, gold, answer, True, *question) for answer in good)
    share = min(1.0, (len(good) + 1) / len(bad))  # spread evenly over the row
    for n, answer in enumerate(bad):
        kept = int((n + 1) * share + 1e-9) > int(n * share + 1e-9)
        (PAIRS if kept else MORE_WRONG).append((kind, gold, answer, False, *question))


# --- whole numbers
add('int', '540',
    ['540', r'540 \text{ pages}', r'\text{540 pages}', r'k = 540', '540.', r'\mathbf{540}', r'\(540\)', '0540',
     r'a + b + c = 540', r'\displaystyle{540}'],
    ['450', '54', '5.40', '-540', '540.1', '180 \\cdot 3', r'3 \times 180', r'(5-2)\cdot 180', '1080/2', '500 + 40',
     r'540 \text{ or } 450', '540, 541', '(540)(1)(2)', '539-541', '5 4 0 0', '\\text{I think } 541', '540^{2}',
     '|540| + 1', r'\lfloor 541.9 \rfloor', r'\gt 540', r'< 541', '0x21C', 'five hundred', '540x',
     r'\sum_{k=1}^{5} 108', r'\underbrace{540}_{541} + 1'])
add('int', '-25',
    ['-25', '−25', r'-25.00', r'k=-25', r'\text{-25}', '- 25'],
    ['25', r'-5^2', '-(5^2)', r'\pm 25', '-52', '-2.5', '25-', r'-25, 25', '|-25|', '-25i', '5^2', '-25 + 0',
     '- - 25', '~25', r'-\frac{50}{2}'])
add('int', '1',
    ['1', '1.0', '+1', r'p = 1', r'1\text{ solution}', '1.'],
    ['-1', '0', r'\frac{2}{2}', r'\sin^2 x + \cos^2 x', 'e^0', 'i^4', '1!', '0!', r'\pm 1', '1, -1', 'x^0', '2-1', '11',
     r'\frac{x}{x}', '0.999', '0.99999999', r'\log_{10} 10', r'\tan 45^\circ', '1x', r'\{1, 1, 2\}', 'unit',
     r'\mathbf{1}_{A}', '10^{0}'])
add('int', '809',
    ['809', '809.0', r'm + n = 809', r'\textbf{809}', r'{809}', r'\boxed{809}', '$809$'],
    ['089', '890', '80.9', '8 09 1', '809 + 0', '800+9', '809 = 808', '808', '8090', '809/2', '809 or 890', '8, 0, 9',
     '908', r'809_{10}809', '809th or 810th'])
add('int', '2025',
    ['2025', '2,025', r'2{,}025', r'2025\text{ integers}', r'S_{45} = 2025'],
    ['45^2', '45^{2}', r'45 \times 45', '2,250', '20.25', '2.025', '20,25', r'\frac{4050}{2}', '2024+1', '2025, 45',
     r'45\sqrt{2025}', '2205', '2 025 1', r'\frac{45 \cdot 90}{2}', r'1^3+2^3+\cdots+9^3'])
# --- units
add('units', r'75 \mathrm{~km} / \mathrm{h}',
    ['75', '75 km/h', r'75 \mathrm{~km/h}', r'75\ \text{km/h}', r'75 \mathrm{~km} / \mathrm{h}'],
    ['57', '7.5', '750', r'75\text{ m/s}', r'75 \text{ miles per hour}', '75 mph', '75 h', '-75', '75 or 57 km/h',
     r'75\text{ thousand km/h}'])
add('units', '180 \\text { days}',
    ['180', '180 days', r'180 \text{ days}', r'\text{180 days}', r'180\,\text{days}'],
    ['180 weeks', '180 hours', r'180 \text{ months}', '18 days', r'180 \text{ thousand days}', '181', '180^\\circ C or 18',
     '90+90', r'180 \text{ dozen}'])
add('units', r'20 \mathrm{~cm}^2',
    ['20', r'20\text{ cm}^2', '20 cm²', r'20\ \mathrm{cm}^{2}', r'20 \text{ square centimeters}', '20 cm^2',
     r'20 \mathrm{~cm}^{2}', r'S = 20\ \text{cm}^2'],
    [r'20\text{ cm}', r'20\text{ cm}^3', r'20 \mathrm{~m}^2', r'20 \text{ mm}^2', '2', '200', '4 \\times 5', '20^2', '400',
     r'20 \text{ dm}^2'])
add('units', r'14 \text{ feet}',
    ['14', '14 feet', '14 ft', r'14\ \text{ft}', r'14\text{ feet}'],
    ['14 inches', '14 yards', r'14\text{ meters}', '41 feet', r'14\text{ ft}^2', '14 square feet', '14 dozen feet',
     '1.4 feet', '13 feet', r'14 \text{ miles}'])
add('units', '65 mph',
    ['65', '65 mph', r'65\text{ mph}'],
    ['56 mph', '6.5', '65 km/h', '60 + 5', '65 to 70 mph', '650', r'65 \text{ hundred}'])
add('units', '96',
    ['96', '96 cookies', r'96\text{ cupcakes}', '96 (apples)', r'96 \text{ cm}^3', '96 hours', '96 cubic feet', '96 points',
     r'96\text{ grams}', '96 red marbles', '96 L', r'96\,\mathrm{N}'],
    ['96 hundred', '96 hundredths', r'96 \text{ tenths}', '96 sixths', r'96\text{ thousand}', '96K', '96 trillion',
     '96 dozen', '96 pairs or 97 pairs', '96万', '96百', '96亿', '69 cookies', r'96\mathrm{e}', r'96\text{i}',
     '96 tens', '96 quarters of 2', r'96 \text{ minus } 1', '96 plus 4', r'96\text{ times }2',
     '96 less than 100', '96 cubed', 'half of 192', r'96\text{ million dollars}'])
add('units', r'1.5 \mathrm{~m}',
    ['1.5', '1.5 m', r'1.5\text{ m}', r'\frac{3}{2}', r'1.5 \text{ meters}', r'\frac{3}{2}\text{ m}', r'1\frac{1}{2}'],
    ['15', '1.5 cm', '1.5 km', '1.5 mm', r'1.5\text{ m}^2', '0.15', '5.1', '1.5 ft', '1.05 m', '3, 2'])
add('units', r'\frac{3}{4} \text{ cup}',
    [r'\frac{3}{4}', '3/4', '0.75', r'\frac{3}{4}\text{ cup}', '3/4 cup', r'0.75\text{ cups}'],
    [r'\frac{4}{3}', r'\frac{3}{4} \text{ gallon}', '0.34', '3', r'\frac{1}{4} \text{ cup}', r'\frac{3}{4}\text{ teaspoon}',
     r'3\frac{3}{4}', '34 cups'])
add('units', r'6\sqrt{2} \text{ cm}',
    [r'6\sqrt{2}', r'6\sqrt2 \mathrm{~cm}', r'6\sqrt{2}\ \text{cm}', r'\sqrt{72}\text{ cm}'],
    ['6', '8.49', '8.485 cm', r'6\sqrt{2}\text{ m}', r'6\sqrt{2}\text{ cm}^2', r'6\sqrt{2}\text{ billion}', r'6\sqrt{2i}',
     r'6\sqrt{2}\,\mathrm{e}', r'6\sqrt{2}\,\mathrm{i}', r'2\sqrt{6}\text{ cm}', r'6\sqrt{2}\text{ hundred}',
     r'6\sqrt{2}\text{ dozen}', r'6\sqrt{2}\text{ tenths}', r'6\sqrt{2}\text{万}', r'6\sqrt{2}\text{ percent}'])
# --- money
add('money', r'\$3.60',
    ['3.60', '3.6', r'\$3.60', '$3.60', r'3.60\text{ dollars}', r'\$3.6', '3.60 dollars', r'\text{\$3.60}', r'\frac{18}{5}'],
    ['3.06', '360', r'\$36', r'\$0.36', '3.60 cents', r'\$4', '6.3', r'3 \times \$1.20', r'-\$3.60', '£3.60', '3.60 euros',
     r'\$3.60\text{ million}', r'\$3, \$60', '1.20 + 2.40', r'\$3.61'])
add('money', '45',
    [r'\$45', '45 dollars', r'\$45.00', '€45', '£45', '45元', '45 USD', r'45\ \text{dollars}', '¥45', '45 pounds',
     r'\text{\$}45'],
    [r'\$4.5', r'\$450', '45 thousand dollars', r'-\$45', r'\$54', r'\$45 \text{ to } \$50', '45 million USD', r'\$45 + \$1',
     r'5 \times \$9', '45k dollars', r'\$45k', '45万元', r'\$45 - \$5', r'\$45.45', r'\$45, \$5'])
add('money', r'\$18,000',
    ['18000', '18,000', r'\$18,000', r'\$18{,}000', r'\$18\,000', r'\$18000.00', '18,000 dollars', r'18{,}000\text{ dollars}'],
    ['18', r'\$18', '1,800', '180,000', r'\$18.000', r'\$18,00', r'\$18, \$000', '18,000 thousand', '18,100', '€18,000',
     r'18{,}000\text{ cents}', r'\$1,8000', r'12 \times \$1,500'])
add('money', r'25 \text{ cents}',
    ['25', '25 cents', r'25\text{ cents}', r'25 \text{ cents}'],
    ['25 dollars', r'\$25', '52 cents', '2.5 cents', '0.025', r'\text{a quarter or a dime}', '250'])
add('money', '€120',
    ['120', '€120', '120 euros', '120 €', '€120.00'],
    [r'\$120', '£120', '120 dollars', '€12', '€1200', '€210', '-€120', '120 yen', '€120 or €121'])
# --- percent
add('percent', r'40\%',
    ['40', r'40\%', '40%', '0.4', '0.40', r'\frac{2}{5}', '40 percent', r'40 \text{ percent}', r'40\,\%', r'x = 40\%'],
    ['4', r'4\%', r'400\%', '0.04', r'0.4\%', r'60\%', r'20\% + 20\%', r'40\% - 50\%', r'\frac{5}{2}', '4000',
     r'40\%, 60\%', r'40\% \text{ of } 50', '-40', r'2 \times 20\%', r'\frac{2}{5}\%'])
add('percent', r'8.4\%',
    [r'8.4\%', '8.4', '0.084', r'8.40\%', '8.4 percent', r'\frac{21}{250}'],
    [r'84\%', '84', r'0.84\%', '0.84', r'4.8\%', r'8\%', r'8.4\% \text{ or } 8.5\%', r'8.04\%', r'0.084\%', '840'])
add('percent', r'33\frac{1}{3}\%',
    [r'33\frac{1}{3}\%', r'\frac{1}{3}', '1/3', r'33\tfrac13\%', r'33 \frac{1}{3} \%', r'\frac{100}{3}\%',
     r'33.\overline{3}\%'],
    [r'33\%', '0.33', r'33.3\%', '0.333', r'\frac{1}{3}\%', r'\frac{2}{3}', r'33.33\%', '3', r'66\frac{2}{3}\%'])
add('percent', r'\frac{3}{20}',
    [r'15\%', '0.15', r'\frac{3}{20}', '15%', '.15'],
    ['15', r'1.5\%', r'0.15\%', r'150\%', r'\frac{20}{3}', r'\frac{3}{20}\%', r'5\%', '0.015', '1.5'])
add('percent', '62.5',
    [r'62.5\%', '62.5', '62.5 percent', r'62\frac{1}{2}\%', r'\frac{125}{2}'],
    ['625', r'6.25\%', '0.625', r'\frac{5}{8}', r'62\%', '63', r'26.5\%', r'0.625\%'])
add('percent', r'120\%',
    [r'120\%', '120', '1.2', r'\frac{6}{5}', '120 percent'],
    ['12', r'12\%', '0.12', r'1.2\%', r'20\%', r'\frac{5}{6}', '0.2', r'100\%+20\%', r'210\%'])
# --- decimals
add('decimal', '0.0625',
    ['0.0625', '.0625', r'\frac{1}{16}', '1/16', r'6.25\%', '0.06250', r'6.25 \times 10^{-2}', r'P = 0.0625'],
    ['0.625', '0.06', '0.063', '16', r'0.0625\%', '0.0652', '-0.0625', r'\frac{1}{4}\cdot\frac{1}{4}', '0.25^2',
     r'\left(\frac{1}{4}\right)^2', '2^{-4}', '0.06249', '0.0626', '625', '0.0625, 0.9375', r'\frac{16}{1}'])
add('decimal', '3.14',
    ['3.14', '3.140', r'\frac{157}{50}', r'3.14\text{ m}'],
    [r'\pi', 'π', '3.1', '3.141', '3.1415926', r'\frac{22}{7}', '314', '31.4', '3.41', '3,14,1', '3.14 or 3.15', '3+0.14',
     r'\approx \pi', '3.14i'])
add('decimal', '-2.75',
    ['-2.75', r'-\frac{11}{4}', '−2.75', r'-2\frac{3}{4}', '-2.750', '-11/4'],
    ['2.75', '-275', '-2.57', r'-2+\frac{3}{4}', r'-\frac{5}{4}', '-27.5', r'2\frac{3}{4}', '-3', '-2.7', r'\pm 2.75',
     r'-\frac{4}{11}', '-2, 75'])
add('decimal', '1.41',
    ['1.41', '1.410', r'\frac{141}{100}'],
    [r'\sqrt{2}', '1.414', '1.4', '141', '14.1', '1.14', '√2', '1.42', '2^{0.5}'])
# --- fractions
add('fraction', r'\frac{7}{12}',
    [r'\frac{7}{12}', r'\dfrac{7}{12}', '7/12', r'\frac7{12}', r'\frac{14}{24}', r'\frac{21}{36}', r'{7 \over 12}',
     r'P(A) = \frac{7}{12}', r'\tfrac{7}{12}', r'\left( \frac{7}{12} \right)', r'\frac{7}{12}\text{ hours}',
     r'\mathbf{\frac{7}{12}}', r'\frac{ 7 }{ 12 }', '(7)/(12)', '7 / 12'],
    [r'\frac{12}{7}', r'\frac{5}{12}', '0.583', '0.5833', r'\frac{1}{3}+\frac{1}{4}', r'\frac{1}{4}+\frac{1}{3}',
     r'1-\frac{5}{12}', r'\frac{7}{2}', r'\frac{7}{1}2', r'\frac{7}{21}', '7:12 pm', r'\frac{3+4}{12}', r'\frac{7}{3\cdot 4}',
     '7', '12', '712', r'\frac{7}{12}, \frac{5}{12}', r'\frac{7}{12} \pm \frac{1}{12}', r'\frac{7}{12}\%',
     r'7\frac{1}{12}', r'\frac{-7}{12}', r'\frac{7}{12}\text{ of a thousand}', r'\frac{49}{144}',
     r'\frac{7}{12}\text{ or }\frac{5}{12}', r'\frac{7i}{12}', r'\frac{7}{12}\mathrm{i}', r'\frac{7}{12}e',
     r'\approx \frac{7}{12}', r'\frac{7}{12+0}', r'58\%', r'\binom{7}{12}'])
add('fraction', r'\frac{-5}{9}',
    [r'-\frac{5}{9}', '-5/9', r'\frac{5}{-9}', r'-\frac59', '−5/9', r'-0.\overline{5}', r'-\frac{10}{18}'],
    [r'\frac{5}{9}', r'-\frac{9}{5}', '-0.56', '-0.5', r'\frac{-5}{-9}', r'-5\frac{1}{9}', r'\pm\frac{5}{9}', '-0.5556',
     r'-\frac{5}{9}, \frac{5}{9}', '-59', r'\left|-\frac{5}{9}\right|'])
add('fraction', '25/49',
    [r'\frac{25}{49}', '25/49', r'\frac{50}{98}', r'\dfrac{25}{49}'],
    [r'\frac{5}{7}', r'\left(\frac{5}{7}\right)^2', r'(\frac57)^2', r'\frac{49}{25}', '0.51', r'\frac{5^2}{7^2}',
     r'\frac{25}{94}', r'\frac{5}{7}\cdot\frac{5}{7}', r'51\%', r'\frac{24}{49}', '25:49:1'])
add('fraction', r'\frac{2023}{2024}',
    [r'\frac{2023}{2024}', '2023/2024', r'\dfrac{2023}{2024}', r'\frac{2{,}023}{2{,}024}', r'\frac{4046}{4048}'],
    [r'1-\frac{1}{2024}', r'\frac{2024}{2023}', '0.9995', '1', r'\frac{2022}{2023}', r'\frac{1}{2024}', '0.999506',
     r'\frac{2023}{2023}', r'\frac{2023}{2025}', r'\approx 1', '0.99950592885375494'])
add('fraction', r'\frac{p}{q}',
    [r'\frac{p}{q}', 'p/q', r'\frac{3p}{3q}', r'\dfrac{p}{q}', 'pq^{-1}'],
    [r'\frac{q}{p}', 'pq', r'\frac{p}{q+1}', 'p', r'\frac{p^2}{q}', r'\frac{p}{2q}', r'-\frac{p}{q}', r'\frac{P}{Q}', 'p-q'])
add('fraction', r'\frac{3x-1}{x+4}',
    [r'\frac{3x-1}{x+4}', '(3x-1)/(x+4)', r'3-\frac{13}{x+4}', r'\frac{-1+3x}{4+x}', r'\frac{1-3x}{-x-4}',
     r'\frac{6x-2}{2x+8}'],
    [r'\frac{x+4}{3x-1}', '3x-1/x+4', r'\frac{3x-1}{x-4}', r'\frac{3x+1}{x+4}', r'3+\frac{13}{x+4}', r'\frac{3x-1}{4}',
     r'\frac{3-1}{4}', r'\frac{3y-1}{y+4}', '3x-1', '3'])
add('mixed number', r'5\frac{1}{6}',
    [r'5\frac{1}{6}', '31/6', r'\frac{31}{6}', '5 1/6', r'5 \frac16', r'5\dfrac{1}{6}', r'5\ \frac{1}{6}', r'5\,\frac16',
     r'5\frac{2}{12}', r'5.1\overline{6}'],
    [r'5\cdot\frac{1}{6}', '5/6', '51/6', r'5+\frac{1}{6}', '5.17', '5.16', r'\frac{6}{31}', r'5\frac{5}{6}', r'6\frac{1}{5}',
     r'-5\frac{1}{6}', '5', '5 - 1/6', r'5\times\frac16', '5, 1/6', r'1\frac{5}{6}', '5 1 6'])
add('mixed number', '23/8',
    [r'2\frac{7}{8}', '2.875', '2 7/8', r'\frac{23}{8}', r'2\tfrac{7}{8}'],
    [r'2\frac{8}{7}', r'3-\frac{1}{8}', '27/8', r'3\frac{7}{8}', '8/23', '2.87', r'2\cdot\frac{7}{8}', '2.9', '2 78',
     r'-2\frac{7}{8}'])
add('mixed number', r'-3\frac{1}{2}',
    ['-3.5', '-7/2', r'-\frac{7}{2}', r'-3\frac12', '-3 1/2'],
    [r'-3+\frac12', '-2.5', r'-\frac{5}{2}', '3.5', r'-\frac{3}{2}', '-31/2', r'3\frac12', '-4'])
# --- repeating decimals
add('repeating decimal', r'0.\overline{27}',
    [r'\frac{3}{11}', '3/11', r'0.\overline{27}', r'0.2\overline{72}', r'0.\overline{2727}', r'0.\dot{2}\dot{7}', r'.\overline{27}'],
    ['0.27', '0.2727', '0.273', r'0.2\overline{7}', r'0.\overline{72}', r'\frac{27}{100}', r'\frac{11}{3}', r'\frac{5}{18}',
     r'0.\overline{2}7', '0.272727272727'])
add('repeating decimal', r'\frac{11}{12}',
    [r'0.91\overline{6}', '11/12', r'0.91\dot{6}', r'0.916\overline{6}', r'91\frac{2}{3}\%', r'0.91\overline{66}'],
    ['0.92', '0.917', r'0.\overline{916}', '0.9166666667', r'92\%', r'0.9\overline{16}', r'\frac{12}{11}', r'0.\overline{6}',
     r'91.7\%'])
add('repeating decimal', r'\frac{12}{99}',
    [r'\frac{4}{33}', r'0.\overline{12}', '4/33', '12/99', r'0.1\overline{21}'],
    ['0.12', '0.1212', r'0.1\overline{2}', r'\frac{12}{100}', r'0.\overline{21}', r'\frac{33}{4}', '0.121'])
# --- scientific notation
add('scientific', r'6.02 \times 10^{23}',
    [r'6.02 \times 10^{23}', '6.02e23', '6.02E+23', r'6.02\cdot10^{23}', '6.02×10^23', r'0.602\times 10^{24}',
     r'60.2\times 10^{22}', '6.02 × 10²³'],
    ['6.02', r'6.02\times 10^{-23}', r'6.02\times 10^{22}', r'6.02 \times 10^{24}', r'6.022\times 10^{23}', '6.02e2', '6e23',
     r'6.20 \times 10^{23}', '10^{23}', r'6.02 + 10^{23}', r'6.02 \times 1023', r'6.02^{23}', r'602\times 10^{23}',
     '6.02^10^23', r'6.02 \times 10^{2}3', r'\infty'])
add('scientific', r'5 \times 10^{-4}',
    ['0.0005', r'5\times10^{-4}', '5e-4', r'5\cdot 10^{-4}', r'\frac{1}{2000}', '5×10⁻⁴', '.0005', '0.5e-3'],
    ['0.005', r'5\times10^{4}', '50000', '5e4', '-20000', r'5\times 10^{-3}', '0', '5', '0.0004', '5-4', r'5 \times 10-4',
     r'\frac{1}{200}', '-0.0005', r'-5\times10^{4}'])
add('scientific', '2.4e-7',
    [r'2.4\times 10^{-7}', '2.4e-7', '0.00000024', '2.4E-07', r'2.4 \cdot 10^{-7}'],
    ['2.4e7', '0', '2.4', r'2.4\times10^{-6}', r'4.2\times10^{-7}', '2.4e-8', '2.4e', '2.4-7', r'2.5\times10^{-7}'])
# --- thousands
add('thousands', '1,234,567',
    ['1234567', '1,234,567', r'1\ 234\ 567', r'1{,}234{,}567', r'1\,234\,567', '1 234 567', r'1,\!234,\!567'],
    ['1.234.567', '1,234', '1, 234, 567', '123,4567', '1,234,576', '1.234567', '12,345,67', '(1,234,567)(1)', '1 234 56 7',
     '1,234,567,8', '1234', '567', r'\{1, 234, 567\}'])
add('thousands', '40320',
    ['40,320', '40320', r'40\,320', '40 320', r'40{,}320', r'40{,}320\text{ arrangements}'],
    ['8!', r'8 \cdot 7!', '4,0320', '40.320', '403,20', '40, 320', '4032', '40,230', r'8 \times 5040', '40', '320',
     'P(8,8)', r'\frac{9!}{9}', '40 32 0'])
add('thousands', '6,000,000',
    ['6000000', '6,000,000', r'6\,000\,000', r'6{,}000{,}000'],
    ['6', '6,000', '6,000,00', '6, 0, 0', '60,000,000', '600000', r'6 \times 10^5', '6.000.000', '6,000,000 million'])
# --- choices
_Q1 = 'The value of $2^5 - 5^2$ is:\n(A) 3\n(B) 5\n(C) 7\n(D) 9\n(E) 11'
add('choice', 'B',
    ['B', '(B)', r'\text{B}', r'\text{(B) }', r'\textbf{(B)}', 'b', '(B).', 'B)', r'\textbf{(B)}\ 5',
     'B．5', '（B）', 'Ｂ', r'\mathbf{(B)}', r'\rm{B}', r'\boxed{\text{B}}', r'B.\ 5', r'(\text{B})'],
    ['A', '(C)', 'D. 9', r'\textbf{(C)}\ 7', 'BC', 'B, C', 'B or C', '(A)(B)', 'A, B, C, D, E', 'not B', r'\text{B or E}', 'B/C',
     '(C) 7 or (B) 5', 'B and D', '', 'none of these', r'\text{(A) or (B)}', 'ABCDE', 'B; C', '8', r'\beta', 'B C D'],
    'Which of the following is a prime congruent to 5 mod 8? (A) 3 (B) 5 (C) 7 (D) 9 (E) 11')
add('choice', 'C',
    ['C', 'C. 7', r'\text{(C)} 7', '(C)~7', 'C：7', r'\mathrm{(C)}\ 7', r'\textbf{C}', r'C) 7', 'c', r'\text{C. } 7', '(C) 7'],
    ['A. 3', 'D', '(E)', r'\textbf{(E)}\ 11', 'E. 11', 'C, A', 'A or C', r'\text{C and A}', '(A) 3 (B) 5 (C) 7', 'CA',
     'C?A', '(C)(A)', r'\text{Cannot be determined}', 'Choose D', 'ACE', '2^5 - 5^2', 'CC D'],
    _Q1)
add('choice', r'\textbf{(A)}',
    ['A', '(A)', r'\textbf{(A)}', r'\textbf{(A) } \sqrt{2}', r'A. \sqrt{2}', r'(A) $\sqrt{2}$', r'\text{A}', r'\textbf{(A)}~\sqrt2'],
    ['B', r'\textbf{(B) } \sqrt{3}', r'(D) $\sqrt{6}$', 'A or D', 'AD', 'D, A', r'\textbf{(A)(B)}', 'a or b', 'E', r'\forall'],
    r'Find the side. $\textbf{(A) } \sqrt{2}\quad\textbf{(B) } \sqrt{3}\quad\textbf{(C) } 2\quad\textbf{(D) } \sqrt{6}$')
add('choice', 'D',
    ['D', '（D）', 'D．', 'D、', r'\text{D}', 'Ｄ', '（Ｄ）'],
    ['A', '（B）', 'Ｃ', 'B、D', 'BD', 'D或C', '（C）', 'A，D', '非D', 'ABD', '（A）（D）'],
    '已知集合 A, B, 则下列正确的是\n(A) 1\n(B) 2\n(C) 3\n(D) 4')
add('choice', 'J',
    ['J', '(J)', r'\text{J}', 'J. 10', r'\textbf{(J)}'],
    ['I', '(I)', 'I. 9', 'I or J', 'IJ', 'j+1', '(A)', 'J, A'],
    'Select one. (A) 1 (B) 2 (C) 3 (D) 4 (E) 5 (F) 6 (G) 7 (H) 8 (I) 9 (J) 10')
# --- words
add('text', r'\text{Saturday}',
    ['Saturday', r'\text{Saturday}', 'saturday', 'SATURDAY', r'\textbf{Saturday}', r'\mathrm{Saturday}', 'Saturday.'],
    ['Sunday', 'Saturday or Sunday', 'Friday', r'\text{not Saturday}', 'Satur', 'Saturday, Friday', r'\text{Saturday and Sunday}',
     'S', 'yadrutaS', r'\text{Monday through Saturday}'])
add('text', r'\text{odd}',
    ['odd', r'\text{odd}', 'Odd', r'\mathrm{odd}'],
    ['even', 'odd or even', 'neither odd nor even', 'do d', 'not odd', 'ddo', 'dod', 'odd and even', '1', 'both'])
add('text', r'\text{west}',
    ['west', r'\text{West}', 'West'],
    ['east', 'stew', 'wets', 'southwest', 'west or east', 'we', r't\cdot s\cdot e\cdot w', 'twes'])
add('text', r'\text{hyperbola}',
    ['hyperbola', r'\text{hyperbola}', r'\text{Hyperbola}'],
    ['parabola', 'ellipse', 'hyperbola or ellipse', 'hyperbole', r'\text{circle}', r'\text{not a hyperbola}'])
add('text', 'No',
    ['No', r'\text{No}', 'no', 'NO'],
    ['Yes', 'On', 'on', 'no, yes', r'\text{Yes or No}', 'n', '0', 'Not no', r'\text{unknown}'])
add('text', r'\text{Navin}',
    ['Navin', r'\text{Navin}', 'navin', r'\textbf{Navin}'],
    ['Nivan', 'Luke', 'Navin and Luke', 'Navin or Luke', 'N', 'vain n', 'not Navin'])
add('text', r'\text{acute}',
    ['acute', r'\text{acute}', 'Acute'],
    ['obtuse', 'right', 'acute or right', 'not acute', 'cute', 'a cute angle of 100'])
add('text', '钝角三角形',
    ['钝角三角形', r'\text{钝角三角形}'],
    ['锐角三角形', '直角三角形', '锐角三角形或钝角三角形', '三角形', '不是钝角三角形'])
add('text', 'BCD',
    ['BCD', r'\text{BCD}'],
    ['BC', 'ABCD', 'ACD', 'BD', 'B', 'D', 'CD', 'ABC'])
add('text', r'\text{true}',
    ['true', r'\text{True}', 'True', 'TRUE'],
    ['false', 'true or false', 'untrue', 'not true', r'\text{False}', 'rue t', 'true, false'])
# --- times and ratios
add('times', r'8:20 \text{ a.m.}',
    [r'8:20 \text{ a.m.}', '8:20 a.m.', '8:20 AM', r'8:20\text{ AM}', '8:20 am', r'8:20\ \text{a.m.}', r'8 : 20 \text{ a.m.}',
     r'\text{8:20 a.m.}', '8:20 A.M.'],
    ['8:20 p.m.', '8:02 a.m.', '20:8 a.m.', '7:20 a.m.', '8.20', r'\frac{8}{20}', '0.4', '8 a.m.', '2:5 a.m.', '20:20',
     '8:20 a.m. or p.m.', '8:21 a.m.', '8:20 a.m., 9:20 a.m.', '8:200 a.m.', '82:0 a.m.'])
add('times', '14:05',
    ['14:05', r'\text{14:05}', '14 : 05', r'14\!:\!05', '$14:05$', '14：05'],
    ['14:50', '05:14', '14.05', '1405', '14:06', '15:05', r'\frac{14}{5}', '2.8', '14:05:14', '4:05', '140:5'])
add('times', r'11\!:\!30 \text{ p.m.}',
    ['11:30 p.m.', r'11:30 \text{ PM}', '11:30 pm', r'11\!:\!30 \text{ p.m.}', r'11:30\text{ p.m.}'],
    ['11:30 a.m.', '11:03 p.m.', '11.5', '10:30 p.m.', '12:30 p.m.', r'11\frac{30}{60}', '30:11 p.m.'])
add('ratio', '5:8',
    ['5:8', '5 : 8', r'5\colon 8', r'\text{5:8}', '5：8', r'5\!:\!8', '$5 : 8$'],
    ['8:5', '5:9', '5:8:1', '25:64', '58', '5-8', '8', '5', '-5:8', '5:8, 8:5', '5:80', '50:8', '5;8', '5:-8'])
add('ratio', '3:5:7',
    ['3:5:7', '3 : 5 : 7', r'3\colon 5\colon 7', '3：5：7'],
    ['7:5:3', '3:5', '5:7', '3:7:5', '3:5:7:9', '357', '15', '3+5+7', '3:5 or 5:7', '105', '3:5:8'])
add('ratio', r'1 : \sqrt{3} : 2',
    [r'1:\sqrt{3}:2', r'1 : \sqrt3 : 2', r'1\colon\sqrt{3}\colon 2'],
    [r'1:2:\sqrt{3}', r'1:\sqrt{2}:2', '1:3:2', r'2:\sqrt{3}:1', '1:1.73:2', r'1:\sqrt{3}', r'1:\sqrt{3}:4'])
# --- Chinese and full-width
add('chinese', '36千克',
    ['36', '36千克', '36 千克', r'36\text{千克}', '３６千克'],
    ['36克', '36吨', '63千克', '3.6千克', '36万千克', '360', '36或37千克', '-36千克'])
add('chinese', '1.2亿',
    ['1.2亿', '1.2 亿', r'1.2\text{亿}', '１．２亿'],
    ['1.2', '1.2万', '12亿', '2.1亿', '0.12亿', '1.2千万', '12'])
add('chinese', '4平方厘米',
    ['4', '4平方厘米', r'4\text{平方厘米}', '4 平方厘米'],
    ['4厘米', '4平方米', '4立方厘米', '2平方厘米', '16', '4平方厘米或6平方厘米', '40'])
add('chinese', r'y=-3 \text{ 或 } y=1',
    ['-3, 1', 'y=1或y=-3', 'y=-3或y=1', '-3或1', '1，-3', r'\{-3,1\}', 'y＝－3或y＝1'],
    ['y=1', '3，-1', '-3', 'y=3或y=1', '-3或-1', '-31', '-3或1或0', '-2', 'y=-3且y=2'])
add('chinese', r'5+2\mathrm{i}',
    ['5+2i', r'5+2\mathrm{i}', r'2\mathrm{i}+5', '5 + 2 i', r'z=5+2\mathrm{i}', r'5+2\text{i}', '５＋２i'],
    ['7', '3', '5', '5-2i', r'5-2\mathrm{i}', '2+5i', r'5+2\mathrm{e}', '10i', '2i', r'\sqrt{29}', '5+2', r'5+2\mathrm{i}^2',
     r'-5+2\mathrm{i}', r'5\pm 2\mathrm{i}', '52', r'5+2\mathrm{j}k'])
add('chinese', r'1-4\mathrm{i}',
    ['1-4i', r'1-4\mathrm{i}', r'-4\mathrm{i}+1', '-4i+1', '１－４i'],
    ['-3', '1', '-4', '5', '1+4i', '4-i', r'1-4\mathrm{e}', '1-4', r'\sqrt{17}', '-1-4i', '1-3i'])
add('chinese', r'-\frac{2}{\mathrm{e}^2}',
    [r'-\frac{2}{e^2}', '-2e^{-2}', r'-2\mathrm{e}^{-2}', r'-\frac{2}{\mathrm{e}^{2}}', '-2/e^2', r'\frac{-2}{e^{2}}'],
    ['-2', r'\frac{2}{e^2}', r'-\frac{2}{e}', '-0.27', '-1', r'-\frac{2}{\mathrm{i}^2}', '2', r'-\frac{e^2}{2}', r'-2e^2',
     '-0.2706705664732254'])
add('chinese', r'2\mathrm{e}-1',
    ['2e-1', r'2\mathrm{e}-1', r'-1+2\mathrm{e}', '2 e - 1', r'2\cdot\mathrm{e}-1'],
    ['0.2', '1', '2e+1', '4.44', r'\mathrm{e}-1', '2', '-1', r'2\mathrm{i}-1', '4.436563656918091', '2e^{-1}', '20', '5'])
add('chinese', '第二象限',
    ['第二象限', r'\text{第二象限}'],
    ['第四象限', '第二、四象限', '第一象限', '二', '不在第二象限', '第三象限'])
add('fullwidth', '(-3,4)',
    ['（-3，4）', '（－３，４）', '(-3，4)', '（－3，4）', '（-3,4）'],
    ['（3，4）', '（4，-3）', '（－３，－４）', '－３，４，５', '（－3．4）', '（3，－4）'])
add('fullwidth', '128',
    ['１２８', 'x＝128', '＋128', '128。', '１２８．', 'n＝１２８'],
    ['１８２', '－128', '１２．８', '１２８０', '128，129', '１２', 'x＞128', '１＋１２７', '２^７'])
add('fullwidth', r'\frac{3}{5}',
    ['３／５', '0．6', '６０％', '3／5', '０．６'],
    ['５／３', '６％', '0．06', '－3／5', '３５', '３：５：１', '６'])
add('fullwidth', r'\{-2, 0, 2\}',
    ['｛-2，0，2｝', '｛０，２，－２｝', r'\{-2，0，2\}', '-2，0，2'],
    ['｛-2，2｝', '｛2，0｝', '-2，0，2，4', '｛-2，0，3｝', '（-2．02）', '－２０２'])
add('fullwidth', '(2, 5]',
    ['（2，5]', '（２，５］', '2＜x≤5', '(2，5]'],
    ['［2，5］', '（2，5）', '［2，5）', '2≤x≤5', '（5，2］', '2＜x＜5', '（2，6］'])
add('fullwidth', r'y = -2x + 7',
    ['y＝－2x＋7', 'y＝-2x+7', 'y＝７－２x', '2x＋y－7＝0'],
    ['y＝2x＋7', 'y＝－2x－7', 'y＝7x－2', 'x＝－2y＋7', '2x－y－7＝0'])
add('fullwidth', '5%',
    ['５％', '5％', '0．05', '5%'],
    ['50％', '0．5', '0．05％', '５０', '－5％'])
# --- style
add('style', '84',
    [r'\textcolor{blue}{84}', r'\color{red}84', r'{\color{green} 84}', r'\bf{84}', r'{\rm 84}', r'84\ ', r'\mathbf{84}', r'\huge 84',
     r'\mathit{84}', r'\underline{\underline{84}}', '**84**', r'\emph{84}', r'\mathtt{84}', r'\;84', r'84\!',
     r'\hbox{84}', r'\mbox{84}', r'\left( 84 \right)', r'\displaystyle 84\,.', r'\fbox{$84$}', r'\ 84\ '],
    [r'\textcolor{84}{48}', r'\color{blue}{48}', r'\phantom{8}4', r'\hphantom{84}', r'\vphantom{84}', r'{8}{4}{0}', r'\bf 48',
     r'\underline{85}', r'\sout{84} 83', r'\hspace{84pt}', r'\color{84}', r'\label{84} 83', r'\textcolor{red}{}', r'\tag{84}',
     r'\mathbf{8}', r'\overline{84}1', r'\tiny 8.4', r'\ref{84}', r'\rule{84pt}{1pt}', r'\cancel{84}48', r'\stackrel{84}{48}',
     r'\text{}', r'\small', r'\vspace{84}', r'\overset{84}{=} 85'])
add('style', r'-\frac{3}{7}',
    [r'\displaystyle -\frac{3}{7}', r'\mathbf{-\frac{3}{7}}', r'{\color{red}-\frac{3}{7}}', r'\boldsymbol{-\frac37}',
     r'-\displaystyle\frac{3}{7}', r'\boxed{-\frac{3}{7}}', r'\Large -\frac{3}{7}', r'-{\frac{3}{7}}'],
    [r'\displaystyle\frac{3}{7}', r'\mathbf{-\frac{7}{3}}', r'\color{red}{-\frac{3}{8}}', r'-\phantom{\frac{3}{7}}',
     r'\phantom{-}\frac{3}{7}', r'\boldsymbol{3}', r'\underline{-}\frac{4}{7}'])
add('style', r'2y - 5',
    [r'\displaystyle 2y-5', r'\(2y - 5\)', r'{2y-5}', r'\mathbf{2y-5}', r'\boldsymbol{2y - 5}', r'2\,y\,-\,5', r'\left(2y-5\right)',
     r'\color{blue}{2y-5}', r'\boxed{2y-5}', '$$2y-5$$'],
    ['2y+5', r'\mathbf{2y}', r'\color{blue}{5-2y}', '2y', '-5', r'2\phantom{y}-5', '2x-5', '2(y-5)', 'y-5', '2y-5=0', '-3'])
# --- Unicode
add('unicode maths', r'4\sqrt{7}',
    ['4√7', '4√(7)', '4·√7', '√112', '4×√7', '4 √7', r'4\sqrt 7', '4*√7'],
    ['√28', '7√4', '4√7i', '-4√7', '√4·7', '10.58', '4+√7', '√7', '4√77', '±4√7', '4∛7'])
add('unicode maths', r'\frac{5\pi}{6}',
    ['5π/6', r'\frac{5π}{6}', '(5/6)π', '5·π/6', r'\tfrac{5}{6}π'],
    ['π/6', '6π/5', '5/6', '2.618', '150', '-5π/6', '5π', '5π/6π', '5π²/6'])
add('unicode maths', 'a^4-2a^2',
    ['a⁴−2a²', 'a⁴ - 2a²', 'a^4 − 2·a²', 'a²(a²−2)'],
    ['a⁴+2a²', 'a²−2a⁴', 'a⁴−2a', 'a⁴', 'a³−2a²', '4a−4a', '(a⁴−2a)²', 'b⁴−2b²'])
add('unicode maths', r'\frac{5}{8}',
    ['⅝', '5⁄8', '5∕8', '0.625'],
    ['⅜', '8⁄5', '½', '5⅝', '1⅝', '⅞', '⅝i', '⅝, ⅜'])
add('unicode maths', r'x \le -\frac{1}{2}',
    ['x ≤ −1/2', 'x ≤ −½', '(−∞, −1/2]', 'x ⩽ −0.5', '(-∞, -½]'],
    ['x ≥ −1/2', 'x < −1/2', 'x ≤ 1/2', '(−∞, −1/2)', '[−1/2, ∞)', '−1/2', '(-∞, -2]'])
add('unicode maths', r'10^{-3}',
    ['10⁻³', '0.001', '1/1000', r'\frac{1}{1000}'],
    ['10³', '-1000', '1000', '-30', '10⁻²', '0.01', '−10³', '10-3'])
add('unicode maths', r'\{1, 4, 9\}',
    ['{1, 4, 9}', '1, 4, 9', '{9, 4, 1}', '1、4、9'],
    ['{1, 2, 3}', '{1, 4}', '{1², 2², 4²}', '{1, 4, 9, 16}', '149', '14', '1 · 4 · 9'])
add('unicode maths', r'2\alpha - \beta',
    ['2α−β', '2α - β', '−β+2α', '2·α − β'],
    ['2α+β', 'α−β', '2a−b', '2β−α', '2α', 'α²−β', '2(α−β)'])
# --- doubled backslashes
add('doubled backslashes', r'\frac{7}{9}',
    [r'\\frac{7}{9}', r'\\dfrac{7}{9}', r'\\displaystyle\\frac{7}{9}', r'\\tfrac79'],
    [r'\\frac{9}{7}', r'\\frac{7}{8}', r'-\\frac{7}{9}', r'\\frac{7}{9}\\pi', r'\\sqrt{\\frac{7}{9}}'])
add('doubled backslashes', r'3\sqrt{10}',
    [r'3\\sqrt{10}', r'\\sqrt{90}', r'3 \\cdot \\sqrt{10}'],
    [r'10\\sqrt{3}', r'\\sqrt{30}', r'3\\sqrt{1}0', r'3\\sqrt[3]{10}', r'-3\\sqrt{10}'])
add('doubled backslashes', r'\left(\frac{1}{2}, -\sqrt{3}\right)',
    [r'\\left(\\frac{1}{2}, -\\sqrt{3}\\right)', r'(\\frac12, -\\sqrt3)'],
    [r'(-\\sqrt{3}, \\frac{1}{2})', r'(\\frac{1}{2}, \\sqrt{3})', r'(\\frac{1}{2})'])
add('doubled backslashes', r'\{0, \pi\}',
    [r'\\{0, \\pi\\}', r'0, \\pi', r'\\{\\pi, 0\\}'],
    [r'\\{0\\}', r'\\{0, 2\\pi\\}', r'[0, \\pi]', r'\\{0, -\\pi\\}'])
add('doubled backslashes', r'(-1, 1) \cup (2, \infty)',
    [r'(-1,1) \\cup (2,\\infty)', r'-1 < x < 1 \\text{ or } x > 2'],
    [r'(-1,1) \\cap (2,\\infty)', r'[-1,1] \\cup [2,\\infty)', r'(-1,\\infty)', r'(-1,1) \\cup (2,3)'])
add('doubled backslashes', r'45^\circ',
    [r'45^\\circ', r'45^{\\circ}'],
    [r'54^\\circ', r'4^\\circ', r'135^\\circ', r'\\circ'])
# --- as code
add('sympy-like code', r'\frac{\sqrt{5}-1}{4}',
    ['(sqrt(5)-1)/4', '(-1 + sqrt(5))/4', 'sqrt(5)/4 - 1/4', '-1/4 + sqrt(5)/4', '(√5-1)/4'],
    ['sqrt(5)-1/4', 'sqrt(4)/4', '(sqrt(5)+1)/4', '(1-sqrt(5))/4', '0.309', 'sqrt(5-1)/4', 'sin(pi/10)', '(sqrt(5)-1)/2',
     'cos(2*pi/5)', '(sqrt(5)-1)*4'])
add('sympy-like code', '2x^3+5x-6',
    ['2*x**3 + 5*x - 6', '2*x^3+5*x-6', '-6 + 5*x + 2*x**3', 'x*(2*x**2+5) - 6', '2*x*x*x + 5*x - 6'],
    ['2*x**2 + 5*x - 6', '2*x**3 - 5*x - 6', '2*x*3 + 5*x - 6', '(2*x)**3 + 5*x - 6', '2*x**3+5*x', '2*x**3+5*x+6',
     '2*y**3+5*y-6', '2**x**3+5*x-6'])
add('sympy-like code', r'10\sqrt{3}',
    ['10*sqrt(3)', 'sqrt(300)', '10 * sqrt(3)', '30/sqrt(3)', '10*3**(1/2)'],
    ['sqrt(30)', '3*sqrt(10)', '10*3**1/2', '17.32', '10+sqrt(3)', '17.320508075688775', "getattr(math,'sqrt')(300)",
     'Symbol("x")', 'sqrt(300)*I', '10*sqrt(3)*0', 'exec("1")', 'N(10*sqrt(3), 3)', 'lambda: 1'])
add('sympy-like code', r'\frac{2\pi}{5}',
    ['2*pi/5', '(2*pi)/5', '2/5*pi', '0.4*pi', 'pi*2/5'],
    ['2/5', '2/(5*pi)', '5*pi/2', 'pi/5', '1.2566', '2*pi*5', '72', '2*p/5'])
add('sympy-like code', r'(4, -\frac{1}{3})',
    ['(4, -1/3)', '(4,-1/3)', '(4.0, -1/3)'],
    ['(-1/3, 4)', '[4, -1/3)', '(4, 1/3)', '4 - 1/3', '(4, -0.33)', '(4, -3)'])
# --- values with names
add('named value', '62',
    [r'\text{Sum} = 62', 'T = 62', 'p+q = 62', r'CD = 62', r'm\angle B = 62^\circ', r'f(7) = 62', r'a_{10} = 62', r'S_{10} = 62',
     r'\text{Total} = 62', r'|MN| = 62', r'\angle BAC = 62^\circ', r'\gcd(a, b) = 62', r'N_{\text{max}} = 62'],
    ['62 = n+1', '2x = 62', 'x^2 = 62', r'x \neq 62', 'T = 26', 'T = 60 + 2', 'x < 62', 'x = 62, y = 0', 'T = 62 or 63',
     'T = -62', r'\text{Sum} = 61', 'T = 62 = 63', 'T = 62 - 1', 'f(62)', 'f(62) = 7', r'x \equiv 3 \pmod{62}', '62 \\mid n',
     'T = 2 \\cdot 31', 'T =', '= 26', r'x \approx 62'])
add('named value', 'n = 12',
    ['12', 'n = 12', 'n=12', r'$n = 12$', 'n = 12.0'],
    ['n = -12', '12n', 'n', 'n = 21', 'n = 12, 13', 'n > 12', 'n = 4 \\cdot 3', r'n \ne 12', 'n = 12k', 'n = 12 \\text{ or } 6'])
add('named value', '|BC| = 2\\sqrt{3}',
    [r'2\sqrt{3}', r'|BC|=2\sqrt3', r'BC = 2\sqrt{3}', r'\sqrt{12}'],
    ['12', r'-2\sqrt{3}', '3.46', r'|BC| = 3\sqrt{2}', r'\sqrt{3}', r'|BC|^2 = 12', r'2\sqrt{3}i', r'\pm 2\sqrt{3}'])
add('named value', r'\frac{AE}{EC} = \frac{3}{2}',
    [r'\frac{3}{2}', '3/2', '1.5', r'\frac{AE}{EC}=\frac32'],
    [r'\frac{2}{3}', '3', r'\frac{AE}{EC} = \frac{2}{3}', r'\frac{AE}{EC}', '6', r'-\frac{3}{2}', r'\frac{3}{5}'])
add('named value', r'a_n = 2^{n} - 1',
    ['2^n-1', 'a_n = 2^n - 1', r'a_{n} = 2^{n}-1', r'-1+2^n'],
    ['a_n = 2^n', 'a_n = 2^n + 1', r'a_n = 2^{n-1}', 'a_n = 2n - 1', 'a_n', 'a_n = n^2 - 1', '1', 'a_n = 2^{n-1} - 1', '2^{n}-n'])
add('named value', 'f(3) = 11',
    ['11', 'f(3) = 11', 'f(3)=11'],
    ['f(3) = 10', '-11', 'f(11) = 3', '3', 'f(3)', 'f(3) = 11, f(4) = 12', '33'])
add('named value', r'\cos A = \frac{4}{5}',
    [r'\frac{4}{5}', r'\cos A = \frac{4}{5}', '0.8', '4/5'],
    [r'\frac{3}{5}', r'-\frac{4}{5}', r'\frac{5}{4}', r'\cos A = \frac{3}{5}', r'\cos A', '45', r'\sin A = \frac{3}{5}'])
add('named value', 'Q(-4, 7)',
    ['(-4, 7)', 'Q(-4,7)', 'Q = (-4, 7)', '(−4,7)'],
    ['(7,-4)', 'Q(4,7)', 'Q(7, -4)', '3', 'Q', '(-4, 7, 1)', 'Q(-4, -7)'])
# --- several boxes of one answer
add('several boxes', '-2, 9',
    [r'-2} and \boxed{9', r'9}, \boxed{-2', r'9} \quad \text{or} \quad \boxed{-2', r'-2}$ and $\boxed{9', '9, -2',
     r'x=-2}, \boxed{x=9'],
    [r'2} and \boxed{9', r'-2} and \boxed{-9', r'-2} and \boxed{-2', r'-2}, \boxed{9}, \boxed{0', '7', '-2', r'9} and \boxed{9',
     r'-2} and \boxed{8'])
add('several boxes', r'(0, 4), (3, -1)',
    [r'(0,4)} and \boxed{(3,-1)', r'(3,-1)} \text{ and } \boxed{(0,4)', '(3,-1), (0,4)', r'(0, 4)}, \boxed{(3, -1)'],
    [r'(4,0)} and \boxed{(3,-1)', r'(0,4)} and \boxed{(-1,3)', '(0,4)', '(0,4,3,-1)', '(0,3), (4,-1)', r'(0,4)} and \boxed{(0,4)',
     r'(0,4)} and \boxed{(3,1)'])
add('several boxes', r'\frac{\pi}{6} \text{ or } \frac{5\pi}{6}',
    [r'\frac{\pi}{6}} or \boxed{\frac{5\pi}{6}', r'\frac{5\pi}{6}} and \boxed{\frac{\pi}{6}', r'\frac{\pi}{6}, \frac{5\pi}{6}'],
    [r'\frac{\pi}{6}} or \boxed{\frac{7\pi}{6}', r'\frac{\pi}{3}} and \boxed{\frac{5\pi}{6}', r'\frac{\pi}{6}', r'\pi',
     r'\frac{5\pi}{6}', r'\frac{\pi}{6}} or \boxed{\frac{\pi}{6}'])
add('several boxes', '15',
    [r'14} \text{ no, wait: } \boxed{15', r'5} \text{ hence } \boxed{15', r'15} so the answer is \boxed{15'],
    [r'15} \text{ no, wait: } \boxed{14', r'15} and \boxed{16', r'15} \text{ then } \boxed{', r'15}, \boxed{51'])
# --- sets and lists
add('set', '4, 6',
    ['4, 6', '6, 4', r'\{4, 6\}', '4 and 6', r'4 \text{ or } 6', 'x = 4, 6', 'x=4, x=6', r'x=4\text{ or }x=6', '6,4',
     r'\left\{6, 4\right\}', r'x_1 = 4, x_2 = 6', '4; 6', '4,6.', r'4 \text{ and } 6', '4.0, 6.0'],
    ['4', '6', '4, 6, 8', '46', '4.6', '10', '24', r'\{4, 5, 6\}', '[4, 6]', '4-6', '4, 5, 6', '4,4,6,7', '-4, -6', '4, -6',
     '4 + 6', '4^6', r'\{4\}', r'4 \text{ to } 6', r'\{4, 6, 8, \ldots\}', '(4, 6), (6, 4), (1, 1)', '4 6 8', 'x^2-10x+24=0',
     '(x-4)(x-6)', r'\text{even numbers}', r'\{4, x\}', r'4 \le x \le 6', '4, 6 \\text{ or } 8', r'4\text{ but not }6'])
add('set', r'\{1, 3, 5, 7\}',
    [r'\{7, 5, 3, 1\}', '1, 3, 5, 7', r'\{1,3,5,7\}', '1, 3, 5, and 7', r'1, 3, 5 \text{ and } 7', '7, 5, 3, 1'],
    [r'\{1, 3, 5\}', r'\{1, 3, 5, 7, 9\}', '1357', '16', r'\{1, 2, 3, 5, 7\}', '1, 3, 5, \\ldots', '[1, 7]', '1+3+5+7',
     r'\{1, 3, 5, -7\}', r'\{2, 3, 5, 7\}', '4'])
add('set', r'-\frac{3}{4}, 2',
    [r'2, -\frac{3}{4}', '-0.75, 2', '-3/4, 2', r'x=2 \text{ or } x = -\frac{3}{4}', r'\left\{2, -\frac34\right\}'],
    [r'\frac{3}{4}, 2', r'\frac{3}{4}, -2', '2', r'-\frac{3}{4}', r'-\frac{4}{3}, 2', r'-\frac{3}{2}', r'\frac{5}{4}',
     r'-\frac{3}{4}, -2', '-0.7, 2'])
add('set', '0, 1, -1',
    [r'-1, 0, 1', r'\{-1, 0, 1\}', r'0, \pm 1', r'\pm 1, 0', r'x = 0, 1, -1', r'0, 1, \text{ and } -1'],
    ['0, 1', r'\pm 1', '0', '1, -1', '0, 1, -1, 2', '[-1, 1]', '0, 1, 1', '01-1', r'0, \pm i', r'\{-1,0,1,\dots\}', 'x^3 - x = 0'])
add('set', r'x = 0 \text{ or } x = -8',
    ['0, -8', '-8, 0', 'x=-8 or x=0', r'\{-8, 0\}', r'x = 0, x = -8', 'x = 0, -8'],
    ['0', '-8', '0, 8', 'x = 0 or x = 8', 'x(x+8) = 0', 'x=0 or x=-8 or x=1', '[-8, 0]', '-80', 'x = -8'])
add('set', r'\varnothing',
    [r'\varnothing', r'\emptyset', r'\{\}', '∅', r'\{ \}'],
    ['0', r'\{0\}', r'\{\varnothing\}', r'\mathbb{R}', 'x = 0', '1', r'\phi(1)', r'\{1\}'])
add('set', '2, 3, 5, 7, 11',
    ['11, 7, 5, 3, 2', r'\{2,3,5,7,11\}', r'2, 3, 5, 7, \text{ and } 11'],
    ['2, 3, 5, 7', '2, 3, 5, 7, 11, 13', '28', '2310', '1, 2, 3, 5, 7, 11', '2, 3, 5, 7, 1, 1', '5', '235711', '3, 5, 7, 11'])
add('set', r'\sqrt{3}, -\sqrt{3}, 0',
    [r'0, \pm\sqrt{3}', r'\{-\sqrt3, 0, \sqrt3\}', r'\pm\sqrt{3}, 0'],
    [r'\pm\sqrt{3}', r'0, \sqrt{3}', r'0, \pm 3', '0, 1.732, -1.732', r'0, \pm\sqrt{3}i', '0', r'\pm\sqrt{3}, 1'])
add('plus-minus', r'\pm 11',
    [r'\pm 11', '11, -11', r'\{11, -11\}', r'x = \pm 11', '±11', r'-11 \text{ or } 11', '11 and -11', 'x = 11 or x = -11'],
    ['11', '-11', r'\pm 1', r'\pm 121', r'\pm 11i', r'\pm \sqrt{11}', '|11|', '(11, -11), (0, 0)', r'\pm 11, 0', '0',
     r'\pm 12', r'\pm 1, \pm 1', r'[-11, 11]', '22', r'+11', r'\pm x'])
add('plus-minus', r'\frac{3 \pm \sqrt{17}}{4}',
    [r'\frac{3+\sqrt{17}}{4}, \frac{3-\sqrt{17}}{4}', r'\frac{3\pm\sqrt{17}}{4}', r'x = \frac{3 \pm \sqrt{17}}{4}',
     r'\frac34 \pm \frac{\sqrt{17}}{4}', r'\frac{3-\sqrt{17}}{4} \text{ and } \frac{3+\sqrt{17}}{4}', r'\frac{6\pm\sqrt{68}}{8}'],
    [r'\frac{3+\sqrt{17}}{4}', r'\frac{-3\pm\sqrt{17}}{4}', r'\frac{3\pm\sqrt{17}}{2}', r'\frac{3\pm 17}{4}', '1.78, -0.28',
     r'3\pm\frac{\sqrt{17}}{4}', r'\pm\frac{3+\sqrt{17}}{4}', r'\frac{3\pm\sqrt{13}}{4}', r'\frac{3 \pm i\sqrt{17}}{4}', '1.5'])
add('plus-minus', r'-1 \pm \sqrt{6}',
    [r'-1+\sqrt6, -1-\sqrt6', r'\pm\sqrt{6} - 1', r'\{-1-\sqrt{6}, -1+\sqrt{6}\}', r'y = -1 \pm \sqrt{6}', '-1±√6'],
    [r'-1+\sqrt{6}', r'1\pm\sqrt{6}', r'-1\pm 6', r'-1 \pm \sqrt{6}i', r'\pm\sqrt{6}', r'\pm 1+\sqrt{6}', '-2',
     '1.449, -3.449'])
add('roots', r'2, 1+i\sqrt{3}, 1-i\sqrt{3}',
    [r'2, 1\pm i\sqrt{3}', r'1 \pm \sqrt{3}i, 2', r'1-i\sqrt{3}, 1+i\sqrt{3}, 2'],
    ['2', r'1\pm i\sqrt{3}', r'2, 1\pm\sqrt{3}', r'2, -1\pm i\sqrt{3}', r'2, 1+i\sqrt{3}', r'-2, 1\pm i\sqrt{3}'])
add('roots', r'\frac{k\pi}{3}',
    [r'\frac{k\pi}{3}', r'\frac{\pi k}{3}', r'\frac{\pi}{3}k', r'k\cdot\frac{\pi}{3}'],
    [r'\frac{\pi}{3}', r'k\pi', r'\frac{k\pi}{6}', r'\frac{k}{3}', r'\frac{(k+1)\pi}{3}', r'\frac{3}{k\pi}', r'\frac{2k\pi}{3}'])
# --- tuples and vectors
add('tuple', '(-6, 10)',
    ['(-6,10)', r'\left(-6, 10\right)', 'x = -6, y = 10', '(x,y) = (-6,10)', '(−6, 10)', 'M(-6, 10)', '( -6 , 10 )', '(-6.0, 10.0)',
     r'x=-6,\quad y=10', r'(x, y) = \left(-6, 10\right)', r'y = 10, x = -6'],
    ['(10, -6)', '(6, 10)', '(6, -10)', '4', '-60', '(-6, 10, 0)', r'\{-6, 10, 0\}', '(-6)', '10', 'x = 10, y = -6',
     '(-6, 10) or (10, -6)', '(-6, 10), (6, -10)', '(-6, 5+5)', '(-6 + 10)', '(-6, 10]', '-6 < x < 10', 'x = -6', '(-6, 11)',
     '(-61, 0)', '(-6 10 0)', '((-6, 10), 1)', r'\text{(x, y)}', '()', '(,)', '(-6,)'])
add('tuple', r'\left(\frac{5}{2}, -\frac{7}{3}\right)',
    [r'(\frac52, -\frac73)', '(5/2, -7/3)', r'(2.5, -\frac{7}{3})', r'x=\frac{5}{2}, y=-\frac{7}{3}',
     r'\left(2\frac12, -2\frac13\right)'],
    ['(2.5, -2.33)', r'(-\frac73, \frac52)', r'(\frac52, \frac73)', r'(\frac25, -\frac37)', r'\frac{1}{6}', '(5, -7)',
     r'(\frac52, -\frac73, 0)', r'-\frac{35}{6}'])
add('tuple', '(2, -3, 0)',
    ['(2,-3,0)', 'x=2, y=-3, z=0', '(x, y, z) = (2, -3, 0)', r'\left(2,\,-3,\,0\right)'],
    ['(2,-3)', '(0,-3,2)', '(2,3,0)', '-1', '(2,-3,1)', '(2,-3,0,0)', '(-3,2,0)', '2, -3', '(2-3,0)'])
add('tuple', r'(2\sqrt{2}, \frac{7\pi}{4})',
    [r'\left(2\sqrt{2}, \frac{7\pi}{4}\right)', r'(2\sqrt2, 7\pi/4)', r'(\sqrt{8}, \frac{7}{4}\pi)', '(2√2, 7π/4)'],
    [r'(\frac{7\pi}{4}, 2\sqrt{2})', r'(2\sqrt{2}, \frac{\pi}{4})', '(2.83, 5.50)', r'(8, \frac{7\pi}{4})', '(2, -2)',
     r'(-2\sqrt{2}, \frac{7\pi}{4})', r'(2\sqrt{2}, \frac{5\pi}{4})'])
add('tuple', 'a = -1, b = 6',
    ['(-1, 6)', 'a=-1, b=6', 'b = 6, a = -1', r'a = -1 \text{ and } b = 6', '(a, b) = (-1, 6)', r'a=-1,\; b=6'],
    ['a = 6, b = -1', '(6, -1)', '5', 'a = -1', 'b = 6', 'a = 1, b = 6', 'a = -1, b = 6, c = 1', 'a = -1 or b = 6', '-6',
     'a + b = 5'])
add('tuple', '(1, 12), (3, 4)',
    ['(3, 4), (1, 12)', r'\{(1,12),(3,4)\}', '(1,12) and (3,4)', r'(3,4) \text{ and } (1,12)', r'(x,y) = (1,12), (3,4)'],
    ['(1, 12)', '(3, 4)', '(12, 1), (4, 3)', '(1,12),(3,4),(12,1)', '(1,12,3,4)', '(1,4),(3,12)', '2', '(1, 12), (4, 3)',
     '(1,12),(1,12)', '20'])
add('tuple', r'(x, y) = (n, 2n)',
    ['(n, 2n)', '(x,y)=(n,2n)', '(n, 2 n)'],
    ['(2n, n)', '(n, n)', '(1, 2)', '(n, 2)', '3n', '(n, 2m)', '(n, 2n+1)'])
add('vectors', r'\langle 0, 4, -5 \rangle',
    [r'\langle 0,4,-5 \rangle', '(0,4,-5)', r'\left\langle 0, 4, -5\right\rangle'],
    [r'\langle 0,4,5\rangle', r'\langle 4,-5\rangle', r'\sqrt{41}', r'\langle 0,-4,5\rangle', r'\langle -5,4,0\rangle', '-1'])
add('vectors', r'\begin{pmatrix} -2 \\ 5 \\ 1 \end{pmatrix}',
    [r'\begin{pmatrix}-2\\5\\1\end{pmatrix}', r'\begin{bmatrix}-2\\5\\1\end{bmatrix}', r'-\begin{pmatrix}2\\-5\\-1\end{pmatrix}',
     r'\mathbf{w} = \begin{pmatrix}-2\\5\\1\end{pmatrix}', r'\vec{u}=\begin{bmatrix} -2 \\ 5 \\ 1 \end{bmatrix}',
     r'\left(\begin{array}{c} -2 \\ 5 \\ 1 \end{array}\right)', r'\begin{pmatrix}-2\\[2mm]5\\[2mm]1\end{pmatrix}'],
    [r'\begin{pmatrix}2\\5\\1\end{pmatrix}', r'\begin{pmatrix}5\\-2\\1\end{pmatrix}', r'\begin{pmatrix}-2\\5\end{pmatrix}',
     r'-\begin{pmatrix}-2\\5\\1\end{pmatrix}', '4', r'2\begin{pmatrix}-2\\5\\1\end{pmatrix}', r'\sqrt{30}',
     r'\begin{pmatrix}-2\\5\\1\\0\end{pmatrix}', r't\begin{pmatrix}-2\\5\\1\end{pmatrix}', r'\begin{pmatrix}-2\\5\\1\end{pmatrix}+1'])
add('vectors', r'-\mathbf{i}+4\mathbf{k}',
    [r'4\mathbf{k}-\mathbf{i}', r'-\mathbf{i} + 4\mathbf{k}'],
    [r'\mathbf{i}+4\mathbf{k}', '3', r'-\mathbf{k}+4\mathbf{i}', r'4\mathbf{k}', r'\sqrt{17}', r'-\mathbf{j}+4\mathbf{k}'])
# --- intervals
add('interval', '(-4, 1]',
    ['(-4,1]', r'-4 < x \le 1', r'\left(-4, 1\right]', r'x \in (-4, 1]', r'\{x \mid -4 < x \le 1\}', r'-4<x\leqslant 1', ']-4, 1]',
     r'1 \ge x > -4', '−4 < x ≤ 1', r'\left\{x : -4 < x \leq 1\right\}'],
    ['[-4, 1]', '(-4, 1)', '[-4, 1)', r'-4 \le x < 1', '(-4, 2]', '(-1, 4]', '(1, -4]', '-4, 1', r'\{-4, 1\}', r'x \le 1',
     'x > -4', '(-4, 1', '1', r'\{-3,-2,-1,0,1\}', r'(-4, 1] \cup \{-4\}', r'(-\infty, 1]', r'x > -4 \text{ or } x \le 1',
     '(-4, 1] or [-4, 1]', '5', r'(-4, 0] \cup [1, 1]'])
add('interval', r'(-\infty, 7)',
    [r'(-\infty,7)', 'x < 7', '7 > x', r'x \in (-\infty, 7)', r'\{x \mid x < 7\}', r'\left(-\infty, 7\right)', r'\{x \in \mathbb{R} : x < 7\}',
     r'(-∞, 7)'],
    [r'(-\infty, 7]', r'x \le 7', 'x > 7', r'(7, \infty)', '(0, 7)', '7', '(-100, 7)', r'(\infty, 7)', r'(-\infty, -7)', r'x \ne 7',
     r'-\infty', r'(7, -\infty)', 'x < 7 or x > 9', r'(-\infty, 6)', 'x < 7.1', r'\mathbb{R}'])
add('interval', r'\left[\frac{1}{3}, \frac{5}{2}\right)',
    [r'[\frac13, \frac52)', r'[1/3, 2.5)', r'\frac{1}{3} \le x < \frac{5}{2}', '[1/3, 5/2)'],
    [r'(\frac13, \frac52)', r'[\frac13, \frac52]', '[0.33, 2.5)', r'[\frac52, \frac13)', '[3, 2.5)', r'[-\frac13, \frac52)',
     r'\frac13 < x < \frac52'])
add('interval', '(2, 8)',
    ['(2,8)', '2 < x < 8', r'x \in (2, 8)', r'\{x \mid 2 < x < 8\}', r'x>2\text{ and }x<8'],
    ['[2, 8]', '(8, 2)', r'2 \le x \le 8', '[2, 8)', 'x > 2', r'x>2\text{ or }x<8', '(2, 9)', '5', r'(-\infty,2)\cup(8,\infty)'],
    'Find all real x satisfying the inequality x^2 - 10x + 16 < 0. Write the answer in interval notation.')
add('interval', r'[-\sqrt{2}, \sqrt{2}]',
    [r'\left[-\sqrt{2}, \sqrt{2}\right]', r'-\sqrt{2} \le x \le \sqrt{2}', '[-√2, √2]'],
    [r'(-\sqrt{2}, \sqrt{2})', r'\pm\sqrt{2}', '[-1.41, 1.41]', '[-2, 2]', r'[0, \sqrt{2}]', r'[\sqrt{2}, -\sqrt{2}]', r'|x| \ge \sqrt2',
     r'|x| < \sqrt2'],
    'What is the range of sin x + cos x?')
add('interval', r'[1, +\infty)',
    [r'[1,\infty)', r'x \ge 1', r'a \in [1, +\infty)', r'[1, +∞)', r'\{a \mid a \geqslant 1\}', r'1 \le a'],
    [r'(1, +\infty)', 'x > 1', r'x \le 1', r'[-1, +\infty)', '1', r'[1, \infty', r'(-\infty, 1]', r'+\infty', r'[1, 10^{100}]'])
add('unions', r'(-\infty, 0) \cup (4, \infty)',
    [r'(4,\infty) \cup (-\infty,0)', r'x < 0 \text{ or } x > 4', 'x > 4 or x < 0', r'\mathbb{R} \setminus [0, 4]', '(-∞, 0)∪(4, ∞)',
     r'(-\infty,0)\bigcup(4,+\infty)', r'x\in(-\infty,0)\text{ or }x\in(4,\infty)', r'\{x \mid x < 0 \text{ or } x > 4\}',
     'x＜0或x＞4', r'x \in (-\infty, 0) \cup (4, \infty)'],
    ['(0, 4)', r'(-\infty, 0] \cup [4, \infty)', r'(-\infty,0)', r'(4,\infty)', r'x<0\text{ and }x>4', r'(-\infty,0)\cap(4,\infty)',
     r'\mathbb{R}\setminus(0,4)', r'\mathbb{R}\setminus\{0,4\}', r'0<x<4', r'(-\infty,-4)\cup(0,\infty)', r'(-\infty,0)\cup(4,5)',
     r'\mathbb{R}', r'(-\infty,0)\cup[4,\infty)', r'x \ne 0, 4', r'(-\infty,0)\cup(0,4)\cup(4,\infty)'])
add('unions', r'(-\infty, -1) \cup (-1, 1) \cup (1, \infty)',
    [r'x \ne \pm 1', r'\mathbb{R} \setminus \{-1, 1\}', r'(-1,1)\cup(1,\infty)\cup(-\infty,-1)', r'\{x \mid x \ne \pm 1\}',
     r'x \neq -1 \text{ and } x \neq 1'],
    [r'x \ne 1', r'\mathbb{R}', r'\mathbb{R}\setminus\{1\}', r'(-1,1)', r'x = \pm 1', r'(-\infty,-1)\cup(1,\infty)', r'\{-1,1\}',
     r'\mathbb{R}\setminus[-1,1]', r'\mathbb{R}\setminus\{0,1\}'])
add('unions', r'(-3, -1) \cup [2, 6]',
    [r'[2,6]\cup(-3,-1)', r'-3<x<-1 \text{ or } 2\le x\le 6', r'(-3,-1)\bigcup[2,6]'],
    [r'(-3,-1)\cup(2,6)', '(-3, 6]', r'[-3,-1]\cup[2,6]', '[2, 6]', r'(-3,-1)\cup[2,7]', r'(-3,-1)\cap[2,6]', r'(1,3)\cup[2,6]'])
add('inequalities', 'm > -2',
    ['m > -2', r'(-2, \infty)', r'm \in (-2, +\infty)', '-2 < m', 'm＞-2', r'\{m \mid m > -2\}'],
    ['m < -2', r'm \ge -2', '-2', 'm = -2', 'm > 2', r'(-\infty,-2)', r'm \ne -2', 'm > -1', '-m > -2', '-m > 2'])
add('inequalities', r'1 \le k < 3',
    [r'1 \leq k < 3', '[1, 3)', r'k \in [1,3)', r'3 > k \ge 1', r'k \ge 1 \text{ and } k < 3', '1 ≤ k < 3', '1 <= k < 3'],
    [r'1 < k \le 3', r'1 \le k \le 3', 'k < 3', r'k \ge 1', '[1, 3]', r'k \ge 1 \text{ or } k < 3', '1, 2', '1, 3', r'3 \le k < 1',
     r'1 \le k < 4'])
add('inequalities', r'x < -5 \text{ or } x \geq 2',
    [r'(-\infty,-5)\cup[2,\infty)', 'x>=2 or x<-5', r'x \ge 2 \text{ or } x < -5', r'x < -5 \text{ or } x \geqslant 2'],
    [r'-5 \le x < 2', r'x<-5 \text{ and } x\ge 2', r'x \le -5 \text{ or } x \ge 2', 'x < -5', r'x \ge 2', '[-5, 2)',
     r'x<-5\text{ or }x>2', r'x < 5 \text{ or } x \ge 2'])
# --- matrices
add('matrix', r'\begin{pmatrix} 2 & -1 \\ 0 & 5 \end{pmatrix}',
    [r'\begin{pmatrix}2&-1\\0&5\end{pmatrix}', r'\begin{bmatrix} 2 & -1 \\ 0 & 5 \end{bmatrix}',
     r'M = \begin{pmatrix} 2 & -1 \\ 0 & 5 \end{pmatrix}', r'\mathbf{M}=\begin{bmatrix}2&-1\\0&5\end{bmatrix}',
     r'\left[\begin{array}{rr} 2 & -1 \\ 0 & 5 \end{array}\right]', r'B^{-1} = \begin{pmatrix} 2 & -1 \\ 0 & 5 \end{pmatrix}',
     r'-\begin{pmatrix} -2 & 1 \\ 0 & -5 \end{pmatrix}', r'\begin{pmatrix} 2 & -1 \\[6pt] 0 & 5 \end{pmatrix}'],
    [r'\begin{pmatrix}2&0\\-1&5\end{pmatrix}', r'\begin{pmatrix}0&5\\2&-1\end{pmatrix}', r'\begin{pmatrix}2&1\\0&5\end{pmatrix}',
     r'\begin{pmatrix}5&-1\\0&2\end{pmatrix}', '10', r'\begin{pmatrix}2&-1&0&5\end{pmatrix}', r'-\begin{pmatrix}2&-1\\0&5\end{pmatrix}',
     r'\begin{pmatrix}2&-1\end{pmatrix}', r'\begin{pmatrix}2&-1\\0&5\end{pmatrix}^2', r'\begin{pmatrix}2&-1\\0&5\end{pmatrix}^T',
     r'3\begin{pmatrix}2&-1\\0&5\end{pmatrix}', r'\begin{pmatrix}2&-1\\0&y\end{pmatrix}', r'\begin{pmatrix}2&-1\\0&5\\1&1\end{pmatrix}',
     r'\det\begin{pmatrix}2&-1\\0&5\end{pmatrix}', r'\begin{pmatrix}2&-1&0\\0&5&0\end{pmatrix}', '7'])
add('matrix', r'\begin{pmatrix} 3/5 & 4/5 \\ 4/5 & -3/5 \end{pmatrix}',
    [r'\begin{pmatrix} \frac35 & \frac45 \\ \frac45 & -\frac35 \end{pmatrix}', r'\frac{1}{5}\begin{pmatrix}3&4\\4&-3\end{pmatrix}',
     r'\begin{bmatrix} 0.6 & 0.8 \\ 0.8 & -0.6 \end{bmatrix}'],
    [r'\begin{pmatrix}3&4\\4&-3\end{pmatrix}', r'5\begin{pmatrix}3&4\\4&-3\end{pmatrix}', '-1',
     r'\begin{pmatrix} \frac35 & \frac45 \\ \frac45 & \frac35 \end{pmatrix}', r'\frac{1}{5}\begin{pmatrix}4&3\\-3&4\end{pmatrix}',
     r'\frac{1}{25}\begin{pmatrix}3&4\\4&-3\end{pmatrix}'])
add('matrix', r'\begin{pmatrix} \cos\theta & -\sin\theta \\ \sin\theta & \cos\theta \end{pmatrix}',
    [r'\begin{bmatrix}\cos\theta&-\sin\theta\\\sin\theta&\cos\theta\end{bmatrix}',
     r'\begin{pmatrix} \cos(\theta) & -\sin(\theta) \\ \sin(\theta) & \cos(\theta) \end{pmatrix}'],
    [r'\begin{pmatrix}\cos\theta&\sin\theta\\-\sin\theta&\cos\theta\end{pmatrix}', '1',
     r'\begin{pmatrix}\cos\theta&-\sin\theta\\\sin\theta&-\cos\theta\end{pmatrix}',
     r'\begin{pmatrix}\cos\phi&-\sin\phi\\\sin\phi&\cos\phi\end{pmatrix}'])
# --- equations and functions
add('equation', 'y = -4x + 9',
    ['y=-4x+9', 'y = 9 - 4x', '4x + y = 9', '4x+y-9=0', '-4x + 9 = y', '8x + 2y = 18', 'y - 9 = -4x', r'y=-4x+9.'],
    ['y = 4x + 9', 'y = -4x - 9', 'x = -4y + 9', '4x - y = 9', 'y = -4x', 'y = 9', '0 = 0', 'y = y', '2 = 2', 'y < -4x + 9',
     'y = -4x + 9 + z', '(y+4x-9)(y-x)=0', '0(y+4x-9)=0', '-4x + 9 = 0', 'y = 9x - 4', '4x + y = 9, x = 0', 'x - x = y - y',
     'y = -4x + 9 or y = 4x + 9', 'm = -4, b = 9', r'y \ne -4x+9', 'y^2 = (9-4x)^2', 'y = -4t + 9'])
add('equation', r'\frac{x^2}{16} - \frac{y^2}{9} = 1',
    [r'\frac{x^{2}}{16}-\frac{y^{2}}{9}=1', '9x^2 - 16y^2 = 144', 'x^2/16 - y^2/9 = 1', r'1 = \frac{x^2}{16}-\frac{y^2}{9}',
     '9x^2-16y^2-144=0', r'\dfrac{x^2}{16} - \dfrac{y^2}{9} = 1', r'-\frac{y^2}{9} + \frac{x^2}{16} = 1'],
    [r'\frac{x^2}{16}+\frac{y^2}{9}=1', r'\frac{x^2}{9}-\frac{y^2}{16}=1', r'\frac{y^2}{9}-\frac{x^2}{16}=1', '16x^2-9y^2=144',
     r'\frac{x^2}{4}-\frac{y^2}{3}=1', '9x^2-16y^2=1', '1 = 1', r'\frac{x^2}{16}-\frac{y^2}{9}=0', r'\frac{x^2}{16}-\frac{y^2}{9}'])
add('equation', 'x^2 = -12y',
    ['x^2=-12y', 'x^2+12y=0', r'y = -\frac{x^2}{12}', '-12y = x^2', 'x²=-12y'],
    ['y^2 = -12x', 'x^2 = 12y', 'x^2 = -6y', 'x^2 = -12', '-12y', 'x = -12y', 'x^2 = -3y', 'x^3 = -12xy'])
add('equation', 'x - 2y + 3z - 6 = 0',
    ['x-2y+3z=6', 'x - 2y + 3z - 6 = 0', '2x - 4y + 6z - 12 = 0', '-x+2y-3z+6=0', r'\frac{x}{6}-\frac{y}{3}+\frac{z}{2}=1'],
    ['x-2y+3z+6=0', 'x-2y-3z-6=0', 'x-2y+3z=0', '0=0', 'x+2y+3z-6=0', '3x-2y+z-6=0', 'x-2y+3z-6', 'x-2y=6', '(1,-2,3)'])
add('equation', r'(x+3)^2 + (y-4)^2 = 16',
    ['(x+3)^2+(y-4)^2=16', 'x^2+y^2+6x-8y+9=0', '(y-4)^2+(x+3)^2=16', r'(x+3)^{2}+(4-y)^{2}=16'],
    ['(x-3)^2+(y+4)^2=16', '(x+3)^2+(y-4)^2=4', '(x+4)^2+(y-3)^2=16', '(x+3)^2-(y-4)^2=16', 'x^2+y^2=16', '16', '(-3,4)',
     'x^2+y^2+6x-8y+25=0', '(x+3)^2+(y-4)^2=0', r'(x+3)^2+(y-4)^2\le 16'])
add('equation', 'xy = 12',
    ['xy=12', 'yx = 12', 'xy - 12 = 0', '2xy = 24'],
    ['x+y=12', 'xy = -12', 'xy = 6', 'x = 12, y = 1', '12', 'x^2y^2 = 144', 'x y z = 12'])
add('functions', 'f(x) = 2x - 5',
    ['2x-5', 'f(x)=2x-5', 'f(x) = -5 + 2x'],
    ['f(x) = 2x + 5', 'f(x) = 5x - 2', 'f(x)', '-5', '2x', 'f(x) = x - 5', 'f(x) = 2(x-5)', 'f(2x-5)', 'f(x) = 2x-5, f(x) = -2x+5',
     'f(x)=f(x)'])
add('functions', r'\frac{1-\ln x}{x^2}',
    [r'\frac{1-\ln x}{x^2}', r'\frac{1-\ln(x)}{x^{2}}', r"f'(x) = \frac{1-\ln x}{x^2}", r'\frac{1}{x^2}-\frac{\ln x}{x^2}',
     r'x^{-2}(1-\ln x)', r'\frac{-\ln x+1}{x^2}'],
    [r'\frac{1+\ln x}{x^2}', r'\frac{\ln x-1}{x^2}', r'\frac{1-\ln x}{x}', r'\frac{1}{x^2}', r'1-\frac{\ln x}{x^2}',
     r'\frac{1-\ln y}{y^2}', r'\frac{1-\log_{10} x}{x^2}', r'-\frac{1}{x^2}', '0'])
add('functions', r'-3e^{-3x}',
    [r'-3e^{-3x}', r'-\frac{3}{e^{3x}}', r'-3\mathrm{e}^{-3x}', r'-3\exp(-3x)', r'y = -3e^{-3x}'],
    ['3e^{-3x}', 'e^{-3x}', '-3e^{3x}', '-3e^-3x', '9e^{-3x}', '-3', '-3xe^{-3x}', r'-\frac{1}{3}e^{-3x}', '-3i^{-3x}'])
add('functions', r'x\sin x + \cos x + C',
    [r'x\sin x+\cos x+C', r'\cos x + x\sin x + C', r'C + x\sin(x) + \cos(x)'],
    [r'x\sin x - \cos x + C', r'x\cos x + \sin x + C', r'-x\sin x+\cos x+C', 'C', r'\sin x+C', r'x\sin x\cos x+C', r'2x\sin x + \cos x + C'])
add('functions', r'\frac{n!}{(n-2)!}',
    [r'\frac{n!}{(n-2)!}', 'n(n-1)', 'n^2-n', 'n!/(n-2)!'],
    [r'\frac{n!}{n-2!}', 'n(n-2)', 'n!', r'\frac{n!}{2!(n-2)!}', '2!', r'\frac{(n-2)!}{n!}', 'n(n+1)'])
# --- complex numbers
add('complex', '-5+12i',
    ['-5+12i', '12i-5', '-5 + 12 i', r'-5+12\mathrm{i}', r'z=-5+12i', r'-5+i\cdot 12', '-5+12*i', r'12\mathrm{i} - 5', '−5+12i', r'-5+12\,i'],
    ['-5-12i', '7', '-17', '13', '12-5i', '5+12i', '-5', '12i', '(-5, 12)', '-5, 12', '-5+12i^2', '-60i', r'-5\pm 12i', '-5+12',
     r'-5+12\mathrm{e}', '-5+12j k', r'-5+12\text{ in}', '-5+12x', '5-12i', '-5+12i, -5-12i', r'|{-5+12i}|', '-5+11i', '7i'])
add('complex', '-i',
    ['-i', r'-\mathrm{i}', '$-i$', '-1i', 'z = -i', '− i'],
    ['i', '-1', '1', r'\pm i', 'i^3 + i', '-2i', r'-i^2', '-e', '0', 'i, -i', r'\sqrt{-1}', '-I or I', '-l'])
add('complex', '6i',
    ['6i', r'6\mathrm{i}', '6 i', r'0+6i', r'6 \cdot i', 'z = 6i'],
    ['6', '-6i', '6i^2', '-6', r'\pm 6i', '36', '6+i', '6j + 1', '6e', '6^i', r'6\text{ inches}', '61'])
add('complex', r'\frac{3-2i}{13}',
    [r'\frac{3}{13}-\frac{2}{13}i', r'\frac{3-2i}{13}', '(3-2i)/13', r'\frac{1}{13}(3-2i)', r'\frac{3}{13} - \frac{2i}{13}',
     r'\frac{3-2\mathrm{i}}{13}'],
    [r'\frac{3+2i}{13}', '3-2i', r'\frac{1}{13}', r'\frac{3}{13}', r'3-\frac{2i}{13}', r'\frac{2-3i}{13}', r'\frac{3-2i}{5}', '0.23-0.15i'])
add('complex', r'2\sqrt{2} + 2\sqrt{2}i',
    [r'2\sqrt{2}+2\sqrt{2}i', r'2\sqrt{2}(1+i)', r'2\sqrt2 + 2i\sqrt2', r'\sqrt{8}+\sqrt{8}i', r'2\sqrt{2}+2\sqrt{2}\,\mathrm{i}'],
    [r'2\sqrt{2}-2\sqrt{2}i', r'4\sqrt{2}', r'4\sqrt{2}i', '4', r'2\sqrt{2}+2\sqrt{2i}', '2.83+2.83i', r'2\sqrt{2}+2i', r'4\text{cis }\frac{\pi}{3}',
     r'2\sqrt{2}i'])
add('complex', r'-3 \pm i',
    ['-3+i, -3-i', r'-3\pm i', '-3-i, -3+i', r'x = -3 \pm i', r'-3\pm\mathrm{i}'],
    ['-3+i', r'3\pm i', r'-3\pm 1', '-2, -4', r'\pm i', r'-1\pm 3i', r'-3\pm 2i', r'\pm 3 + i', '-6'])
# --- radicals and powers
add('radical', r'5\sqrt{7}',
    [r'5\sqrt7', r'\sqrt{175}', r'5 \sqrt {7}', r'\frac{35}{\sqrt{7}}', r'5\cdot\sqrt{7}', r'5\times 7^{\frac12}', 'd = 5\\sqrt{7}',
     r'5\sqrt{7}\text{ units}', r'\sqrt{7} \cdot 5', r'5{\sqrt{7}}'],
    [r'7\sqrt{5}', r'\sqrt{35}', '13.229', '13.2287565553', r'5\sqrt{17}', r'-5\sqrt{7}', r'5\sqrt[3]{7}', r'\sqrt[5]{7}', '35', '175',
     '5', r'\sqrt{7}', r'\pm 5\sqrt{7}', r'5+\sqrt{7}', r'5\sqrt{7}i', r'5\sqrt{7}, 7\sqrt{5}', r'\approx 13.23', r'5\sqrt{7}\pi',
     r'\sqrt{5}\cdot 7', r'5\sqrt{7}x', r'5\sqrt{}7', r'\sqrt{25+7}', r'5^{\sqrt 7}', r'5\sqrt{7}\text{ or }6'])
add('radical', r'\frac{\sqrt{10}}{5}',
    [r'\frac{\sqrt{10}}{5}', r'\sqrt{\frac{2}{5}}', r'\frac{2}{\sqrt{10}}', r'\frac{\sqrt2}{\sqrt5}', r'\sqrt{0.4}', r'\frac15\sqrt{10}'],
    [r'\frac{\sqrt{5}}{10}', r'\sqrt{2}', '0.632', r'\frac{10}{5}', r'\sqrt{\frac{5}{2}}', r'\frac{2}{5}', r'\sqrt{\frac{10}{5}}',
     r'\frac{\sqrt{10}}{10}', r'\frac{5}{\sqrt{10}}', r'\frac{\sqrt{1}0}{5}'])
add('radical', r'2\sqrt{3} - \sqrt{6}',
    [r'-\sqrt{6}+2\sqrt{3}', r'2\sqrt3-\sqrt6', r'\sqrt{12}-\sqrt{6}', r'\sqrt{3}(2-\sqrt{2})', '2√3 - √6'],
    [r'2\sqrt{3}+\sqrt{6}', r'\sqrt{6}-2\sqrt{3}', r'2\sqrt{-3}', '1.0146', r'\sqrt{6}', r'2\sqrt{3-6}', r'2\sqrt{3}, \sqrt{6}', '1', r'2(\sqrt{3}-\sqrt{6})'])
add('radical', r'\sqrt[4]{3}',
    [r'\sqrt[4]{3}', '3^{1/4}', r'3^{\frac{1}{4}}', r'\sqrt{\sqrt{3}}', r'\sqrt[4]3', '3^{0.25}'],
    [r'4\sqrt{3}', r'\sqrt{3}', r'\sqrt[3]{4}', '1.316', r'\frac{3}{4}', '3^4', r'\sqrt[4]{3}i', r'3^1/4'])
add('radical', r'\sqrt{5 + 2\sqrt{6}}',
    [r'\sqrt{5+2\sqrt{6}}', r'\sqrt{2}+\sqrt{3}', r'\sqrt{5+\sqrt{24}}'],
    [r'\sqrt{5-2\sqrt{6}}', '3.146', r'\sqrt{3}-\sqrt{2}', r'5+2\sqrt{6}', r'\sqrt{5}+2\sqrt{6}', r'\sqrt{5}', r'\sqrt{5+2}\sqrt{6}', r'\pi'])
add('radical', r'\frac{1+\sqrt{5}}{2}',
    [r'\frac{1+\sqrt5}{2}', r'\frac{\sqrt{5}+1}{2}', r'\frac12+\frac{\sqrt5}{2}', '(1+sqrt(5))/2', r'0.5 + 0.5\sqrt{5}'],
    ['1.618', r'\frac{1-\sqrt{5}}{2}', r'\frac{1\pm\sqrt5}{2}', r'\phi', r'1+\frac{\sqrt5}{2}', r'\frac{\sqrt{5}-1}{2}', '1.6180339887498949', r'\frac{1+\sqrt{6}}{2}', r'\frac{13}{8}'])
add('radical', r'\sqrt{a^2 + b^2}',
    [r'\sqrt{a^2+b^2}', '(a^2+b^2)^{1/2}', 'sqrt(b^2+a^2)', r'\sqrt{b^{2}+a^{2}}'],
    ['a+b', 'a^2+b^2', r'\sqrt{a+b}', r'\sqrt{a^2-b^2}', r'\sqrt{a^2}+\sqrt{b^2}', r'\sqrt{2ab}', r'-\sqrt{a^2+b^2}', r'\sqrt{A^2+B^2}', '5', r'\sqrt{a^2+c^2}'])
add('powers', '3^{2024}',
    ['3^{2024}', r'9^{1012}', r'3\cdot 3^{2023}', r'3^{2000}\cdot 3^{24}'],
    ['3^{2023}', '3^{2025}', '3^{2024}+1', '3^{2024}-1', '3^2024 + 2', '2024^3', '6072', '9^{2024}', '0', '10^{965}', '3^{-2024}', r'\infty',
     '3^{24}', '3^2024x', r'3^{2024}\pm 1', '3^20 24', '9^{9^{9^{9^{9}}}}', '3^{3^{3^{3^{3^{3}}}}}', '((((3^9)^9)^9)^9)^{99999}', '3^{2024!}'])
add('powers', '7^{50} - 1',
    ['7^{50}-1', '-1+7^{50}', '49^{25}-1'],
    ['7^{50}', '7^{50}+1', '7^{49}', '7^{49}-1', '6^{50}', '1-7^{50}', '7^{50-1}', '(7-1)^{50}'])
add('powers', r'\left(\frac{2}{3}\right)^{20}',
    [r'\left(\frac{2}{3}\right)^{20}', r'\frac{2^{20}}{3^{20}}', '(2/3)^{20}', r'\left(\frac49\right)^{10}', r'\frac{1048576}{3486784401}'],
    [r'\left(\frac{3}{2}\right)^{20}', r'\frac{2^{20}}{3}', '0', r'\left(\frac23\right)^{19}', r'\frac{40}{60}', '0.0003', r'1-\left(\frac23\right)^{20}', '2/3^{20}', r'\frac{2}{3^{20}}'])
add('powers', r'4^{n-1}',
    ['4^{n-1}', r'\frac{4^n}{4}', r'2^{2n-2}', r'4^n\cdot 4^{-1}', r'\frac{1}{4}\cdot 4^n'],
    ['4^n-1', '4^{n+1}', '4^{n}', '2^{n-1}', '4^n', '4(n-1)', '4^n - 4', '2^{2n-1}', '4^{1-n}', '4^{n}-1', '4^n-4^1'])
add('powers', r'5^{n} + 2n',
    ['2n+5^n', '5^n+2n', '5^{n} + 2 n'],
    ['5^n+2', '5n+2n', '7n', '5^n-2n', '5^{n+2n}', '5^{n}+n^2', '7^n', '5^{2n}'])
add('powers', r'a^{-3}b^2',
    [r'\frac{b^2}{a^3}', 'b^2/a^3', 'a^{-3} b^{2}', r'b^2a^{-3}'],
    [r'\frac{a^3}{b^2}', 'a^3b^2', '-a^3b^2', '-3ab^2', r'\frac{1}{a^3b^2}', r'\frac{b^2}{3a}', r'\frac{b^3}{a^2}', r'\frac{B^2}{A^3}'])
# --- e, logarithms, trigonometry, pi
add('log', '5e-3',
    ['5e-3', '-3+5e', '5e - 3', r'5\mathrm{e}-3', r'5\cdot e-3'],
    ['5', '5e+3', '10.59', '3e-5', '5e', '-3', '2', '2e', r'5i-3', '5e^{-3}', 'e-3'])
add('log', '4e',
    ['4e', r'4\mathrm{e}', r'4\cdot e', 'e \\cdot 4', '4 e', '4*e'],
    ['4', '40', 'e^4', '10.87', '4e^2', '-4e', '4i', r'\frac{4}{e}', '4+e', '4e+1', '4e1', '10.873127313836180941'])
add('log', r'\frac{e^2+1}{4}',
    [r'\frac{e^2+1}{4}', r'\frac{1+\mathrm{e}^2}{4}', r'\frac{e^2}{4}+\frac14', '(e^2+1)/4', r'\frac14(e^{2}+1)', '0.25(e^2+1)'],
    [r'\frac{e^2-1}{4}', r'\frac{e^2+1}{2}', r'e^2+\frac{1}{4}', '2.097', r'\frac{e+1}{4}', r'\frac{2e+1}{4}', r'\frac{1}{4}', r'\frac{e^{2+1}}{4}', r'\frac{i^2+1}{4}', '0'])
add('log', r'\ln 5',
    [r'\ln 5', r'\ln(5)', r'\operatorname{ln}5', r'\log_e 5', r'\ln{5}', r'-\ln\frac15', r'\ln\left(5\right)', r'\mathrm{ln}\,5'],
    [r'\lg 5', r'\log_{10}5', r'\log_2 5', '1.609', '5', r'\ln 6', r'-\ln 5', r'\ln\frac{1}{5}', r'\ln^2 5', r'5\ln 5', 'n5', r'\ln 5x', r'\ln 5, \ln 2',
     r'e^5', '1.6094379124341003', r'\sin 5'])
add('log', r'\log_5 2',
    [r'\log_5 2', r'\log_{5}{2}', r'\frac{\ln 2}{\ln 5}', r'\log_5(2)', r'\frac{\lg 2}{\lg 5}', r'\frac{1}{\log_2 5}', r'\operatorname{log}_5 2'],
    [r'\log_2 5', r'\frac{\ln 5}{\ln 2}', '0.431', r'\log 2', r'\ln\frac{2}{5}', r'\log_{52}', r'\log_5 4', '2/5', r'\log_{25} 2', r'\log_5 2^2', r'\log 5\cdot 2', '10'])
add('log', r'2 - \ln 3',
    [r'-\ln 3+2', r'2-\ln(3)', r'\ln\frac{e^2}{3}', r'2-\operatorname{ln}3', r'2+\ln\frac{1}{3}'],
    [r'2+\ln 3', r'\ln 3-2', '0.901', r'\ln\frac{2}{3}', r'-\ln 3', '-1', r'2-\lg 3', r'2-\ln 2', r'2\ln 3', r'\ln(2-3)'])
add('log', r'3\ln 2 + \ln 5',
    [r'\ln 40', r'\ln 8+\ln 5', r'\ln 5+3\ln 2'],
    [r'\ln 13', r'3\ln 10', r'\ln 30', r'3\ln 7', r'\ln\frac{8}{5}', '3.689', r'\ln 11', '40', r'\ln 8\ln 5', r'(\ln 2)^3+\ln 5'])
add('trig', r'\cos^2 \alpha',
    [r'\cos^2\alpha', r'(\cos\alpha)^2', r'1-\sin^2\alpha', r'\cos^{2}(\alpha)', r'\frac{1+\cos 2\alpha}{2}', r'\operatorname{cos}^2\alpha', 'cos²α'],
    [r'\cos\alpha^2', r'\sin^2\alpha', r'\cos 2\alpha', r'\cos\alpha', r'2\cos\alpha', r'1+\sin^2\alpha', r'\cos^2\beta', r'\cos^3\alpha', '1', r'\cos^{-2}\alpha', r'\alpha^2', r'c^2\alpha'])
add('trig', r'\cot \theta',
    [r'\cot\theta', r'\frac{\cos\theta}{\sin\theta}', r'\frac{1}{\tan\theta}', r'\cot(\theta)', r'\operatorname{cot}\theta'],
    [r'\tan\theta', r'-\cot\theta', r'\frac{\sin\theta}{\cos\theta}', r'\cot 2\theta', r'\csc\theta', r'\cot^2\theta', r'\cot', r'\theta', r'\cot x', '1'])
add('trig', r'\arccos \frac{1}{4}',
    [r'\arccos\frac14', r'\cos^{-1}\frac{1}{4}', r'\arccos\left(\frac{1}{4}\right)', r'\arccos(0.25)', r'\cos^{-1}\left(\frac14\right)', r'\operatorname{arccos}\frac{1}{4}'],
    [r'\arcsin\frac14', r'\cos\frac14', '1.318', '75.5', r'75.5^\circ', r'\arccos 4', r'-\arccos\frac14', r'\arccos\frac12', r'\frac{1}{4}', r'\frac{1}{\cos\frac14}', r'\arctan\frac14', r'\pi-\arccos\frac14'])
add('trig', r'-\frac{\sqrt{2}}{2}',
    [r'-\frac{\sqrt2}{2}', r'-\frac{1}{\sqrt{2}}', r'\frac{-\sqrt{2}}{2}', r'-\sqrt{\frac12}', r'-\dfrac{\sqrt{2}}{2}'],
    [r'\cos 135^\circ', r'\sin\frac{5\pi}{4}', r'\frac{\sqrt2}{2}', '-0.707', r'-\sqrt{2}', r'-\frac{\sqrt3}{2}', r'-\frac12', r'\pm\frac{\sqrt2}{2}', r'-\frac{2}{2}', r'-\cos\frac{\pi}{4}', r'-\frac{\sqrt{2}}{2}i'])
add('trig', r'2\sin 3x',
    [r'2\sin 3x', r'2\sin(3x)', r'f(x) = 2\sin 3x', r'2 \sin{3x}', r'2\operatorname{sin}(3x)'],
    [r'2\cos 3x', r'3\sin 2x', r'\sin 6x', r'6\sin x', r'2\sin 3', r'-2\sin 3x', r'2\sin^3 x', r'2\sin(3x+\pi)', r'2\sin 3y', '0', r'2\sin(3)x', r'2x\sin 3'])
add('trig', r'\sec^2 x',
    [r'\sec^2 x', r'\frac{1}{\cos^2 x}', r'1+\tan^2 x', r'(\sec x)^2', r'\sec^{2}(x)'],
    [r'\sec x', r'\csc^2 x', r'1-\tan^2 x', r'\cos^2 x', r'\tan^2 x', r'\frac{1}{\sin^2 x}', r'\sec x^2', r'\sec 2x', '1'])
add('pi', r'18\pi',
    [r'18\pi', '18π', r'18 \pi', r'\pi\cdot18', r'18\times\pi', '18*pi', r'18\pi\text{ square inches}', r'V = 18\pi', r'\frac{36\pi}{2}', r'18\,\pi', r'18{\pi}', r'18\pi \text{ units}^2'],
    ['18', '56.55', '56.548667764616', r'18\pi^2', r'36\pi', r'9\pi', r'\pi', r'-18\pi', r'18\pi i', r'18+\pi', r'\frac{18}{\pi}', r'18\pi, 9\pi', '3240', '18p', r'\pi^{18}', r'\frac{396}{7}',
     r'18\pi x', '18i', '56.52', r'18 \cdot 3.14', r'18\Pi(0)', r'18\pi\text{ or }36\pi', r'\approx 18\pi', '18 pie charts', r'1\,8\pi\pi'])
add('pi', r'\frac{\pi^2}{6}',
    [r'\frac{\pi^2}{6}', r'\frac{1}{6}\pi^2', 'π²/6', 'pi**2/6', r'\frac{\pi^{2}}{6}'],
    ['1.645', r'\frac{\pi}{6}', r'\frac{6}{\pi^2}', r'\frac{\pi^2}{8}', '1.6449340668482264', r'\frac{2\pi}{6}', r'\sum_{n=1}^{\infty} \frac{1}{n^3}', r'\frac{\pi^2}{6}i', r'\left(\frac{\pi}{6}\right)^2', r'\frac{10}{6}'])
add('pi', r'25\pi - 48',
    [r'25\pi-48', r'-48+25\pi', r'25 \pi - 48', '25π-48', r'25\pi - 48 \text{ cm}^2'],
    [r'48-25\pi', r'25\pi+48', '30.54', r'-23\pi', r'25(\pi-48)', r'25\pi', '-48', r'25\pi, 48', r'25\pi-24', r'-23'])
add('pi', r'12\pi \mathrm{~cm}^2',
    [r'12\pi', r'12\pi\text{ cm}^2', r'12 \pi \mathrm{~cm}^{2}', r'12\pi\ \text{square centimeters}'],
    ['12', r'12\pi\text{ cm}', r'12\text{ cm}^2', '37.7', r'12\pi\text{ m}^2', r'12\pi\text{ cm}^3', r'12\pi\text{ thousand}', r'24\pi\text{ cm}^2', r'12\pi^2'])
# --- degrees
add('degrees', r'75^\circ',
    ['75', r'75^\circ', r'75^{\circ}', '75°', '75 degrees', r'75\text{ degrees}', r'\angle PQR = 75^\circ', r'75 ^{\circ}', r'75\,^\circ', r'x = 75^\circ'],
    ["75'", r'105^\circ', r'7.5^\circ', '57', r'45^\circ + 30^\circ', r'75^\circ, 105^\circ', '750', r'\frac{5}{12}', r'-75^\circ', r'75^\circ \text{ or } 15^\circ', '75 radians',
     '75\\pi', '75^2', r'180^\circ - 105^\circ', r'75^\circ 30\prime', r'75\text{ grads}'])
add('degrees', r'112.5^\circ',
    ['112.5', r'112.5^{\circ}', '112.5°', r'\frac{225}{2}^\circ', r'112\frac12^\circ'],
    ['112', '1125', r'11.25^\circ', r'67.5^\circ', '113', r'121.5^\circ', r'112^\circ'])
add('degrees', '54',
    [r'54^\circ', '54°', '54 degrees', r'54^{\circ}'],
    [r'45^\circ', r'5.4^\circ', r'108^\circ/2', r'54^\circ, 72^\circ', r'90^\circ-36^\circ', r'126^\circ'])
# --- bases
add('base', '1101_3',
    ['1101_3', '1101_{3}', '(1101)_3', r'1101_{\text{three}}', '1101', r'(1101)_{3}', r'$1101_{3}$'],
    ['1101_2', '37', '1101_{10}', '1011_3', '37_{10}', '1101_4', '45_8', '1102_3', '1101_{33}', r'1101_{\text{two}}', '1101_3 or 1101_2', '11013', '1101_9', '110_3', '1101^3'])
add('base', '4A5_{11}',
    ['4A5_{11}', '4a5_{11}', '(4A5)_{11}', r'4A5_{\text{eleven}}', '4A5'],
    ['4A5_{12}', '4A5_{16}', '599', '4B5_{11}', '5A4_{11}', '45_{11}', '599_{10}', '4A5_{10}', '4A5_1'])
add('base', '2134_5',
    ['2134_5', '2134_{5}', '2134', r'2134_{\text{five}}', '(2134)_5', r'(2134)_{\text{five}}'],
    ['2134_6', '294', '2134_{10}', '2143_5', r'2134_{\text{six}}', '21345', '213.4_5', '2134_{55}', '294_5', '2134_7'])
add('base', '110',
    ['110', '110_{10}', r'110_{\text{ten}}'],
    ['110_2', '1101110_2', '110_{3}', '156_8', '6E_{16}', '110_8', r'110_{\text{two}}'])
# --- factorials and binomials
add('factorial/binomial', '12!',
    ['12!', '479001600', '479,001,600'],
    ['12', '11!', '13!', '12!!', '144', '47900160', '!12', '(1', '12^{12}', '12! + 1', r'\frac{12!}{2}', '4790016000', '6!6!', '(12!)!'])
add('factorial/binomial', r'\binom{12}{5}',
    ['792', r'\binom{12}{5}', r'\dbinom{12}{5}', r'\binom{12}{7}', r'{12 \choose 5}', r'\tbinom{12}{5}'],
    [r'\binom{12}{6}', r'\frac{12}{5}', '60', r'\binom{5}{12}', '95040', '17', r'\binom{12}{4}', '12^5', r'\binom{13}{5}', '2.4', '729', r'12 \cdot 5', r'\binom{1}{2}{5}'])
add('factorial/binomial', '210',
    ['210', '210 ways', r'210\text{ committees}', r'N = 210'],
    [r'\binom{10}{4}', r'\binom{10}{6}', r'7\cdot 6\cdot 5', r'2\cdot3\cdot5\cdot7', r'\frac{7!}{4!}', '7!/4!', r'{10 \choose 4}', '120', '_7P_3', '2^{10}', r'\binom{21}{2}', '201', r'\frac{10!}{4!6!}', 'C(10,4)'])
add('factorial/binomial', r'\frac{(3n)!}{(n!)^3}',
    [r'\frac{(3n)!}{(n!)^3}', '(3n)!/(n!)^3', r'\frac{(3n)!}{n!\,n!\,n!}', r'\frac{(3n)!}{n!n!n!}'],
    [r'\frac{3n!}{n!^3}', r'\frac{(3n)!}{n!}', r'\frac{(3n)!}{3n!}', r'\frac{(n!)^3}{(3n)!}', '1', r'\frac{(3n)!}{(n!)^2}', '27^n', r'(3n)!', r'\binom{3n}{n}', r'\frac{(3m)!}{(m!)^3}'])
add('factorial/binomial', r'\binom{n+1}{2}',
    [r'\binom{n+1}{2}', r'\frac{n(n+1)}{2}', r'\frac{(n+1)n}{2}', r'\frac{n^2+n}{2}'],
    [r'\binom{n}{2}', r'\frac{n+1}{2}', r'n(n+1)', r'\binom{n+1}{3}', r'\binom{2}{n+1}', r'\frac{n(n-1)}{2}', 'n'])
# --- letters
add('letters', r'\frac{GMm}{r^2}',
    [r'\frac{GMm}{r^2}', r'GMm/r^2', r'\frac{G M m}{r^{2}}', r'F = \frac{GMm}{r^2}', r'\frac{mMG}{r^2}', r'G\frac{Mm}{r^2}', r'GMmr^{-2}'],
    [r'\frac{GMm}{r}', r'\frac{Gm^2}{r^2}', r'\frac{GM^2}{r^2}', r'\frac{gMm}{r^2}', r'\frac{GMm}{R^2}', r'-\frac{GMm}{r^2}', r'\frac{GM}{r^2}', 'GMm', r'\frac{r^2}{GMm}', '9.8', r'\frac{GMm}{2r}'])
add('letters', r'\sqrt{\frac{2h}{g}}',
    [r'\sqrt{\frac{2h}{g}}', r'\sqrt{2h/g}', r't = \sqrt{\frac{2h}{g}}', r'\left(\frac{2h}{g}\right)^{1/2}', r'\frac{\sqrt{2h}}{\sqrt{g}}'],
    [r'\sqrt{\frac{2g}{h}}', r'\sqrt{2gh}', r'\frac{2h}{g}', r'\sqrt{\frac{h}{2g}}', r'\frac{\sqrt{2h}}{g}', r'\sqrt{\frac{h}{g}}', r'2\sqrt{\frac{h}{g}}', r'\sqrt{\frac{2H}{g}}', r'\sqrt{2h}/g'])
add('letters', r'\lambda - \mu',
    [r'\lambda-\mu', r'-\mu + \lambda', 'λ−μ', 'λ - μ'],
    [r'\lambda+\mu', r'\mu-\lambda', r'\lambda\mu', r'\lambda', '0', r'l-m', r'\lambda-\nu', r'2\lambda-\mu'])
add('letters', r'a_1 + 4d',
    ['a_1+4d', 'a_{1} + 4d', '4d + a_1', r'a_1 + 4\cdot d'],
    ['a_1+5d', 'a_4+d', 'a_1-4d', '4a_1d', 'a+4d', '5a_1', 'a_2+4d', 'a_1 + d^4', 'a_14d', '4d'])
add('letters', '3ab - b^2',
    ['3ab-b^2', 'b(3a-b)', '-b^2 + 3ab', '3ab − b²', r'3 a b-b^{2}', '3ba - b^2', r'3a\cdot b - b\cdot b'],
    ['3ab+b^2', '3ab-b', 'ab-b^2', '3a-b^2', '3a^2-b^2', '2ab', '3AB-B^2', '3ab-c^2', '3(ab-b^2)', '3ab-2b', 'b', '2b^2'])
add('letters', 'k+1',
    ['k+1', '1+k', '$k+1$', r'k + 1', '{k+1}'],
    ['k', 'k-1', '1', 'n+1', '2k', 'k^1', 'K+1', '-k-1', 'k+2', 'k1', '+k', 'k \\cdot 1', 'k + 1 = 0'])
add('letters', r'\varepsilon_0 E^2',
    [r'\varepsilon_0 E^2', r'E^2\varepsilon_0', r'\varepsilon_{0} E^{2}'],
    [r'\varepsilon_0 E', r'\mu_0 E^2', r'\frac12\varepsilon_0 E^2', r'\varepsilon_0^2 E', 'E^2', r'\varepsilon_0 e^2', '0'])
# --- expressions
add('expression', r'(x-2)(x+5)',
    ['(x-2)(x+5)', '(x+5)(x-2)', 'x^2+3x-10', r'(x - 2) (x + 5)', r'\left(x-2\right)\left(x+5\right)', r'(x-2)\cdot(x+5)', r'(2-x)(-x-5)'],
    ['(x+2)(x-5)', '(x-2)(x-5)', '(x-2)+(x+5)', 'x^2-3x-10', '(x-2)(x+5)=0', '2, -5', '(x-2), (x+5)', 'x-2(x+5)', '(x-2)(x+5)(x-1)', '(y-2)(y+5)', 'x^2-10', '(x-2)^{x+5}', '2(x-2)(x+5)'])
add('expression', r'-2x^2 + 8x - 3',
    ['-2x^2+8x-3', '8x-2x^2-3', r'-2x^{2} + 8x - 3', '-2x²+8x-3', '-2*x**2+8*x-3', '-2(x-2)^2+5', r'-(2x^2-8x+3)', '$-2x^2+8x-3$', '−2x² + 8x − 3'],
    ['2x^2+8x-3', '-2x^2-8x-3', '-2x^2+8x+3', '-2x+8x-3', '-2x^2+8x-3=0', '-2(x-2)^2-3', '3', '2x^2-8x+3', '-2x^2+8-3', '-2^2+8x-3', '(-2x)^2+8x-3', '-2x^2+8x'])
add('expression', r'\frac{n(n+1)(n+2)}{3}',
    ['n(n+1)(n+2)/3', r'\frac{1}{3}n(n+1)(n+2)', r'\frac{n^3+3n^2+2n}{3}', r'\frac{n(n+2)(n+1)}{3}', r'\frac13 n(n+1)(n+2)', r'2\cdot\frac{n(n+1)(n+2)}{6}'],
    [r'\frac{n(n+1)(n+2)}{6}', 'n(n+1)(n+2)', r'\frac{n(n+1)}{2}', r'\frac{n(n-1)(n+1)}{3}', r'\frac{n^3+2}{3}', '2', r'\frac{n(n+1)+(n+2)}{3}', r'\frac{m(m+1)(m+2)}{3}', r'\frac{3}{n(n+1)(n+2)}'])
add('expression', r'\frac{2}{(x-1)(x+3)}',
    [r'\frac{2}{(x-1)(x+3)}', '2/((x-1)(x+3))', r'\frac{2}{x^2+2x-3}', r'\frac{1}{2}\left(\frac{1}{x-1}-\frac{1}{x+3}\right)', r'\frac{-2}{(1-x)(x+3)}'],
    ['2/(x-1)(x+3)', r'\frac{2}{x^2-2x-3}', r'\frac{1}{x-1}-\frac{1}{x+3}', r'\frac{(x-1)(x+3)}{2}', r'\frac{2}{x-1}+\frac{2}{x+3}', r'\frac{2}{x^2-3}', '2'])
add('expression', r'x^{12} - y^{12}',
    ['x^{12}-y^{12}', '-y^{12}+x^{12}', '(x^6-y^6)(x^6+y^6)', '(x^4-y^4)(x^8+x^4y^4+y^8)'],
    ['x^12 + y^{12}', 'x^1 2-y^1 2', '(x-y)^{12}', 'y^{12}-x^{12}', '(x^6-y^6)^2', 'x^{12}', 'x^{11}-y^{11}', '0', '12(x-y)'])
add('expression', r'|x - 3|',
    ['|x-3|', '|3-x|', r'\left|x-3\right|', r'\lvert x-3\rvert', r'|x - 3|'],
    ['x-3', '3-x', '|x+3|', '|x|-3', r'\pm(x-3)', '(x-3)^2', '|x|-|3|', '-|x-3|', '3', '|y-3|'])
# --- reward hacks: something that no answer is
_HACKS = ['', ' ', '?', '*', 'x', 'ans', r'\text{answer}', r'\text{correct}', r'\text{See above}', r'\text{None of the above}', r'\square', r'\boxed{}',
          r'\text{[your answer]}', r'\text{final answer}', '...', r'\cdots', 'N/A', 'null', 'None', 'nan', 'inf', '-inf', '1/0', r'\frac{0}{0}', r'0 \cdot \infty', 'oo', 'zoo',
          r'\text{True}', 'True', '1 or 2 or 3 or 4 or 5 or 6 or 7 or 8 or 9', r'0 < x < \infty', r'(-\infty, \infty)', r'\mathbb{R}', r'\forall x', '__class__', '{}', '[]', '()', '()()',
          '$$', '$', '\\', '{', '}', r'\frac', r'\sqrt', '^', '_', '%', r'\%', '#', '&', r'\text', r'\left(', r'\right)', '=', '==', 'x=x', '0=0']
add('hack', '37', ['37', r'37\text{ tiles}'], _HACKS + ['37 or anything', '37, 38, 39', '37?73', '3|7', '37 \\text{ is wrong}', '<think>37</think> 73', '<answer>37</answer><answer>38</answer>'])
add('hack', r'\frac{4}{9}', [r'\frac49', '4/9'], [h for h in _HACKS if len(h) > 1] + [r'\frac{4}{9}\text{ or }\frac{5}{9}', r'\frac{4}{9}=\frac{5}{9}', r'\frac{4}{9} \cdot x'])
add('hack', r'2\sqrt{11}', [r'2\sqrt{11}', r'\sqrt{44}'], [h for h in _HACKS if len(h) > 1] + [r'2\sqrt{11} \cdot x', r'\sqrt{4x}', r'2\sqrt{x}', r'2\sqrt{11} + \epsilon', r'2\sqrt{11} \to \infty'])
add('hack', '(8, -5)', ['(8,-5)', 'x=8, y=-5'], [h for h in _HACKS if len(h) > 1] + ['(x, y)', '(8, y)', '(8, )', '(a, b)', r'(8, \pm 5)', '(8, *)', '(8, ?)'])
add('hack', '3, 10', ['10, 3', r'\{3, 10\}'], [h for h in _HACKS if len(h) > 2] + ['a, b', '3, x', r'x \in \{3, 10, y\}', '1, 2, 3, 4, 5, 6, 7, 8, 9, 10', r'\{x : x^2 - 13x + 30 = 0\}, 1'])
add('hack', r'(5, \infty)', ['x > 5', r'(5,\infty)'], [h for h in _HACKS if len(h) > 2] + [r'(a, \infty)', r'x > a', r'(5, x)', r'x > 5 \text{ or } x \le 5', r'x > 5, x < 5'])
add('hack', 'y = 5x + 3', ['y=5x+3', '5x-y+3=0'], [h for h in _HACKS if len(h) > 2] + ['y = mx + b', 'y - y = 0', '0y = 0x', 'y/y = 1', 'x + y = y + x', r'(y-5x-3)\cdot 0 = 0', '(y-5x-3)/(y-5x-3) = 1', 'y = 5x + c'])
# --- digits in other scripts of numbers, long numbers, near misses
add('long numbers', '123456789012345678901234567890',
    ['123456789012345678901234567890', '123,456,789,012,345,678,901,234,567,890', 'N = 123456789012345678901234567890'],
    ['123456789012345678901234567891', '123456789012345678901234567889', '1.2345678901234568e29', r'1.23456789\times 10^{29}', '12345678901234567890123456789', '1234567890123456789012345678900',
     '123456789012345677877719597056'])
add('long numbers', '9007199254740993',
    ['9007199254740993', '9,007,199,254,740,993', r'9\,007\,199\,254\,740\,993'],
    ['9007199254740992', '9007199254740994', '9.007199254740993e14', '2^{53}', '9007199254740993.5', r'2^{53}+1', '9.007 \\times 10^{15}'])
add('long numbers', '0.1234567890123456789',
    ['0.1234567890123456789', '.1234567890123456789'],
    ['0.1234567890123456788', '0.123456789012345678', '0.12345678901234568', '0.1234567890123456', '0.12345678901234567891', '0.123'])
add('long numbers', r'\frac{355}{113}',
    [r'\frac{355}{113}', '355/113', r'3\frac{16}{113}'],
    [r'\pi', '3.14159292035', '3.1415929', r'\frac{22}{7}', r'\frac{113}{355}', '3.14', r'\frac{355}{133}'])
# --- ASDiv: the unit in brackets
add('asdiv', '15 (pencils)',
    ['15', '15 pencils', r'15\text{ pencils}', '15 (pencils)', '15.0'],
    ['51', '1.5', '15 dozen', '15 or 16', '3 \\cdot 5', 'pencils', '150', '10 + 5', '14', '15 hundred'])
add('asdiv', '2.5 (miles)',
    ['2.5', '2.5 miles', r'\frac{5}{2}', r'2.5\text{ miles}', '5/2'],
    ['25', '2.05', '5.2', '2.5 kilometers', '2', '0.25', '2.5 thousand'])
# --- GSM8K as published
add('gsm8k', '720',
    ['720', r'\$720', '720 pens', r'720\text{ pens}', '720.00', r'\textbf{720}'],
    ['72', '7200', '24*30', '6*4*30=720', '24 × 30', '720/1', '1440/2', '72.0', '<<24*30=720>>721', '#### 721', '702', '240*3'])
# --- two things in one, chains and corrections
add('corrections', '19',
    ['19', r'19 \text{ steps}'],
    [r'18 \text{ (not 19)}', '19 - no, 18', r'19 \to 18', r'18 \neq 19', '19 vs 18', r'\text{either } 18 \text{ or } 19', r'18 = 19', '19/18', '19;18', '19 18', r'19 \quad 18', r'19 \\ 18', '19\n18',
     r'18 < 19', '18.19', r'\{19\} \cup \{18\}', r'19 \lor 18', r'\max(18, 19)', r'19 \land 18', '19:18', '19|18', '18…19', r'\begin{cases} 19 \\ 18 \end{cases}', '(19)(18)'])
add('corrections', r'\frac{1}{6}',
    [r'\frac16', '1/6', r'0.1\overline{6}', r'16\frac{2}{3}\%'],
    [r'\frac{1}{6} \text{ or } \frac{5}{6}', r'\frac{1}{6}, \frac{5}{6}', r'\frac{5}{6}', r'1 - \frac{5}{6}', '0.17', '0.167', '0.1667', r'16.7\%', r'17\%', r'\frac{1}{2}\cdot\frac13', r'\frac{1}{3!}', r'\frac{6}{36}x',
     r'\frac{1}{6}^2', r'\frac{1}{6} < \frac{5}{6}', r'\frac{1}{6} \cdot 1', r'\frac{1}{6} + 0'])
# --- minus signs and brackets
add('signs', r'-\frac{1}{8}',
    [r'-\frac{1}{8}', r'\frac{-1}{8}', r'\frac{1}{-8}', '-0.125', '−1/8', r'-\frac18', r'\left(-\frac{1}{8}\right)', r'-12.5\%'],
    [r'\frac18', r'-\frac{1}{-8}', r'-8', r'\frac{-1}{-8}', '0.125', r'-\frac{8}{1}', r'\left|-\frac18\right|', r'-\left(-\frac18\right)', r'-\frac{1}{8}i', r'-1\frac{1}{8}', '-0.12', '-0.13', r'\pm\frac18',
     r'1-\frac{9}{8}', r'(-\frac12)^3', r'-2^{-3}', r'-\frac14\cdot\frac12', '- 1 8'])
add('signs', '-x^2 + 3',
    ['-x^2+3', '3-x^2', '-(x^2-3)', '3 - x²', '−x²+3'],
    ['(-x)^2+3', 'x^2+3', '-x^2-3', '-(x^2+3)', '-2x+3', 'x^2-3', '-x+3', '(3-x)^2', '-x^{2+3}', '3-2x'])
add('signs', '(a-b)^2',
    ['(a-b)^2', '(b-a)^2', 'a^2-2ab+b^2', '(a-b)(a-b)', 'b^2-2ab+a^2'],
    ['(a+b)^2', 'a^2-b^2', 'a^2+b^2', '(a-b)', 'a-b^2', '-(a-b)^2', 'a^2-2ab-b^2', '2(a-b)', '(a-b)(a+b)', '(A-B)^2'])
# --- constants in physics data sets (Minerva)
add('minerva', r'4.5e-5',
    [r'4.5\times 10^{-5}', '0.000045', '4.5e-5', '4.5E-5', r'4.5 \cdot 10^{-5}', '45e-6'],
    ['4.5', '4.5e5', '4.5e-4', r'4.5\times10^{5}', '4.5^{-5}', '0', '0.00045', '5.4e-5', '-4.5e5', '4.5e-50', '4.5 \\times 10^{-6}'])
add('minerva', r'\sqrt{2 g R}',
    [r'\sqrt{2gR}', r'v = \sqrt{2gR}', r'(2gR)^{1/2}', r'\sqrt{2Rg}', r'\sqrt{2 g R}', r'\sqrt{2}\sqrt{gR}'],
    [r'\sqrt{gR}', r'2gR', r'\sqrt{2gr}', r'2\sqrt{gR}', r'\sqrt{2g}R', r'\sqrt{2}gR', r'\sqrt{2GR}', r'\sqrt{\frac{2g}{R}}', '11.2', r'\sqrt{2 h R}', r'-\sqrt{2gR}', r'\frac12\sqrt{gR}'])
add('minerva', r'\frac{e^{-t}}{1+e^{-t}}',
    [r'\frac{e^{-t}}{1+e^{-t}}', r'\frac{1}{e^t+1}', r'\frac{1}{1+e^{t}}', r'\frac{\mathrm{e}^{-t}}{1+\mathrm{e}^{-t}}', r'1-\frac{1}{1+e^{-t}}'],
    [r'\frac{e^{t}}{1+e^{t}}', r'\frac{1}{1+e^{-t}}', r'\frac{1}{2}', r'\frac{e^{-t}}{1-e^{-t}}', r'e^{-t}', r'\frac{1}{e^t}+1', r'1+e^{-t}', r'\frac{e^{-x}}{1+e^{-x}}', r'\frac{-et}{1-et}'])
# --- answers in Qwen's and R1's dress
add('dress', '260',
    [r'260 \, \text{cm}', r'\boxed{260}', r'\text{260 meters}', r'\mathbf{260}', r'\displaystyle 260', r'260~\text{m}', r'260 \text{m}', r'260\;\text{people}', r'\$260', r'260\text{ (square feet)}'],
    [r'2600 \, \text{cm}', r'26\text{0} + 1', r'\mathbf{206}', r'\text{26 or 0}', r'\boxed{206}', r'2.60 \times 10^3', r'260\!\cdot\!2', r'\text{260 or more}', r'\text{at most 260}', r'\text{about 260}',
     r'\text{less than 260}', r'\text{not 260}', r'\text{260 \% of 10}', r'260\text{ million}', r'\frac{260}{}', r'\sqrt{260}', r'\overline{260}+1', r'\text{over 260}', r'\text{260 hundred}', r'26\cdot 10', r'13 \times 20'])
add('dress', r'\frac{3\sqrt{2}}{4}',
    [r'\dfrac{3\sqrt{2}}{4}', r'\frac{3 \sqrt{2}}{4}', r'\frac{3}{4}\sqrt{2}', r'\frac{3}{2\sqrt{2}}', r'0.75\sqrt{2}', r'\frac{\sqrt{18}}{4}', r'\cfrac{3\sqrt{2}}{4}', r'\frac{3\cdot\sqrt{2}}{4}', r'\sqrt{\frac{9}{8}}',
     r'\boxed{\frac{3\sqrt{2}}{4}}', r'\frac{3\sqrt{2}}{4} \text{ units}', '3√2/4'],
    [r'\frac{4\sqrt{2}}{3}', r'\frac{2\sqrt{3}}{4}', '1.06', r'\frac{3\sqrt{2}}{2}', r'3\sqrt{2}', r'\frac{3}{4}', r'\frac{\sqrt{6}}{4}', r'\frac{3\sqrt{2}}{4}i', r'\frac{3\sqrt{2}}{4}, \frac{3}{4}', r'\sqrt{\frac{3}{4}}',
     r'3\sqrt{\frac{2}{4}}', r'-\frac{3\sqrt2}{4}', '1.0606601717798212', r'\frac{3\sqrt{2}}{4}\text{ million}', r'\frac{3+\sqrt{2}}{4}'])
add('dress', r'\text{Jupiter}',
    ['Jupiter', r'\text{Jupiter}', r'\textbf{Jupiter}', 'jupiter', r'\mathrm{Jupiter}', r'\textit{Jupiter}'],
    ['Saturn', 'Jupiter or Saturn', r'\text{not Jupiter}', 'Jup', r'\text{Jupiter and Mars}', r'\phantom{Jupiter}', 'J', r'\text{Mars}'])
